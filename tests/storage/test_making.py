"""What runs were made with: sources of methods and versions of packages."""

import importlib
import shutil
import sys

from support.compose import ROOT

from unlearn.comparison.mixture import mixture
from unlearn.methods.finetune import Finetune
from unlearn.methods.ssd import SSD
from unlearn.storage.making import made_otherwise, source_digest, versions

SOURCE = """
from {part} import importance
import torch

class Toy:
    '''A method.'''
    lr = {lr}
"""


def toy(folder, monkeypatch, lr: float, part: str):
    """The digest of a user's method that uses a part of ours."""
    folder.mkdir()
    (folder / "toy_method.py").write_text(SOURCE.format(lr=lr, part=part))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("toy_method", None)
    importlib.invalidate_caches()
    return source_digest(importlib.import_module("toy_method").Toy)


def test_another_line_of_a_method_is_another_source(tmp_path, monkeypatch):
    part = "unlearn.methods.parts"
    first = toy(tmp_path / "a", monkeypatch, 0.1, part)
    assert toy(tmp_path / "b", monkeypatch, 0.1, part) == first, "the place is no part of it"
    assert toy(tmp_path / "c", monkeypatch, 0.2, part) != first
    assert source_digest(SSD) != source_digest(Finetune)


def test_the_parts_that_a_method_is_made_of_are_part_of_its_source(tmp_path, monkeypatch):
    from unlearn.methods.parts import importance

    before = source_digest(SSD), source_digest(Finetune)
    changed = tmp_path / "importance.py"
    shutil.copy(ROOT / "unlearn" / "methods" / "parts" / "importance.py", changed)
    changed.write_text(changed.read_text() + "\n# another line\n")
    monkeypatch.setattr(importance, "__file__", str(changed))
    after = source_digest(SSD), source_digest(Finetune)
    assert after[0] != before[0] and after[1] == before[1]


def test_what_has_no_source_is_unknown():
    kind = type("Typed", (), {"__module__": "nowhere.to.be.found"})
    assert source_digest(kind) == "unknown"


def test_only_what_is_known_to_differ_is_told():
    now = dict(versions())
    assert {"torch", "unlearn-images", "python"} <= now.keys()
    record = {"method": {"name": "ssd", "source": "a" * 16}, "versions": now}
    assert made_otherwise(record, "a" * 16) == ""
    assert made_otherwise({"method": {"name": "ssd"}}, "a" * 16) == "", "an older record"
    told = made_otherwise({**record, "versions": {**now, "torch": "1.0"}}, "b" * 16)
    assert told == "; it was made with another source of the method, torch 1.0"


def test_a_comparison_counts_versions_and_sources():
    def run(name: str, source: str, torch: str) -> dict:
        return {"method": {"name": name, "source": source}, "versions": {"torch": torch}}

    alike = [run("ssd", "a" * 16, "2.11"), run("gisa", "b" * 16, "2.11")]
    assert mixture(alike, [{"torch": "2.11"}, {}]) == ""
    told = mixture([*alike, run("ssd", "c" * 16, "2.11")], [{"torch": "2.12"}])
    assert "torch 2.11 (3), 2.12 (1)" in told and "source of ssd aaaaaa (1), cccccc (1)" in told
    assert "gisa" not in told and "\n" not in told
