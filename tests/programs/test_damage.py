"""Damaged, exchanged and unreadable runs as the programs meet them: named, mended, never silent."""

import csv
import errno
import os
import shutil
from pathlib import Path

import pytest
from support.compose import compose_job

from unlearn.errors import UserError
from unlearn.programs import composing
from unlearn.programs.evaluate import evaluate
from unlearn.programs.unlearn import unlearn
from unlearn.storage import making
from unlearn.storage.records import read_record

SMALL = ("recipe.epochs=1", "trainer=cpu", "logger=none", "references.retrained=2")
RUN = (*SMALL, "method=ssd", "eval=accuracy", "table=false", "original_seed=seed")
COMPARE = (*SMALL, "eval=accuracy", "pictures=false", "resampling.models=4")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs and two retrained models."""
    home = tmp_path_factory.mktemp("made")
    unlearn(compose_job(*RUN, "seeds=3", home=home))
    return home


@pytest.fixture
def home(made, tmp_path):
    for name in ("store", "runs"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def runs(home: Path) -> list[Path]:
    return [path.parent for path in sorted(home.glob("runs/*/ssd-*/*/record.json"))]


def compared(home: Path, caplog, capfd, *words: str) -> tuple[dict, list[str]]:
    """What `evaluate` returns, and the lines it says of runs."""
    caplog.clear()
    capfd.readouterr()
    result = evaluate(compose_job(*COMPARE, *words, program="evaluate", home=home))
    # Where a program has set up logging before, a line is on the terminal and in the log.
    told = dict.fromkeys([*caplog.messages, *capfd.readouterr().err.splitlines()])
    return result, [line for line in told if "is damaged" in line]


def row_of(result: dict) -> list[str]:
    with (Path(result["report"]) / "results.csv").open() as file:
        return [str(row) for row in csv.DictReader(file) if row["method"] == "ssd"]


def flip(path: Path, offset: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 2
    path.write_bytes(data)


def test_evaluate_names_damaged_runs_and_compares_the_rest(home, caplog, capfd):
    whole, told = compared(home, caplog, capfd)
    numbers = row_of(whole)
    assert not told and numbers
    first, second, _ = runs(home)
    flip(first / "outputs.safetensors")
    (second / "record.json").write_text("{}")
    result, told = compared(home, caplog, capfd)
    assert result["rows"] == whole["rows"] and row_of(result) and row_of(result) != numbers
    assert len(told) == 2
    assert str(first) in told[0] and str(second) in told[1]


def test_damaged_weights_are_met_where_a_number_needs_them(home, caplog, capfd):
    spoilt = runs(home)[1]
    flip(spoilt / "model.safetensors")
    assert not compared(home, caplog, capfd)[1]
    _, told = compared(home, caplog, capfd, "eval=[accuracy,weight_distance]")
    assert len(told) == 1 and str(spoilt) in told[0]


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("outputs.safetensors", flip),
        ("record.json", flip),
        ("record.json", lambda path: path.write_text("{}")),
        ("record.json", lambda path: path.unlink()),
        ("checksums.json", lambda path: path.write_bytes(b"")),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    ],
)
def test_unlearn_runs_a_damaged_run_again(home, capfd, file, spoil):
    folder = runs(home)[1]
    before = read_record(folder).document["metrics"]
    (folder / "mine.txt").write_text("mine")
    spoil(folder / file)
    result = unlearn(compose_job(*RUN, "seeds=3", home=home))
    assert (result["ran"], result["skipped"]) == (1, 2)
    told = [line for line in capfd.readouterr().err.splitlines() if "is damaged" in line]
    assert len(told) == 1 and "run again" in told[0] and str(folder) in told[0]
    after = read_record(folder).document["metrics"]
    assert after["accuracy/test"] == pytest.approx(before["accuracy/test"], abs=0.02)
    assert (folder / "mine.txt").read_text() == "mine"
    assert unlearn(compose_job(*RUN, "seeds=3", home=home))["ran"] == 0


def test_exchanged_runs_are_no_runs(home, caplog, capfd):
    first, second, _ = runs(home)
    first.rename(home / "x")
    second.rename(first)
    (home / "x").rename(second)
    _, told = compared(home, caplog, capfd)
    assert len(told) == 2 and all("copied or exchanged" in line for line in told)
    assert unlearn(compose_job(*RUN, "seeds=3", home=home))["ran"] == 2


def test_a_run_that_cannot_be_read_is_one_line_and_stays(home, monkeypatch, caplog, capfd):
    folder, read = runs(home)[1], Path.read_bytes

    def refused(path):
        if path == folder / "outputs.safetensors":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    before = sorted(home.rglob("*"))
    monkeypatch.setattr(Path, "read_bytes", refused)
    for work in (
        lambda: unlearn(compose_job(*RUN, "seeds=3", home=home)),
        lambda: compared(home, caplog, capfd),
    ):
        with pytest.raises(UserError, match="cannot read .*nothing was changed") as caught:
            work()
        assert "\n" not in str(caught.value)
    assert sorted(home.rglob("*")) == before


def test_an_added_evaluation_keeps_everything_else(home):
    """Files of others, and the bytes of what was trained; also where two add at once."""
    folder = runs(home)[0]
    (folder / "losses.csv").write_text("step\n")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    kept = ("outputs.safetensors", "model.safetensors", "losses.csv", "notes/mine.txt")
    before = {name: (folder / name).read_bytes() for name in kept}
    more = [word for word in RUN if not word.startswith("eval=")]
    result = unlearn(compose_job(*more, "eval=[accuracy,zrf]", "seed=0", home=home))
    assert result["ran"] == 0 and "zrf/score" in result["metrics"]
    assert {name: (folder / name).read_bytes() for name in kept} == before
    metrics = read_record(folder).document["metrics"]
    assert {"zrf/score", "accuracy/test"} <= metrics.keys()


def test_a_retrained_model_that_is_gone_is_made_again(home, caplog, capfd):
    """Before the bank is counted: rows beside two models and beside one do not fit."""
    whole, _ = compared(home, caplog, capfd, "eval=standard")
    numbers = [line for line in row_of(whole) if "'cost/" not in line]
    [gone] = home.glob("store/retrained/*-seed0-*")
    shutil.rmtree(gone)
    composing._references.clear()  # as in a process of its own
    result, _ = compared(home, caplog, capfd, "eval=standard")
    again = [line for line in row_of(result) if "'cost/" not in line]
    assert result["rows"] == whole["rows"] and len(again) == len(numbers) > 3
    assert len(list(home.glob("store/retrained/*"))) == 2


@pytest.mark.parametrize("count", [0, -2])
def test_fewer_than_one_retrained_model_is_refused(home, count):
    words = [word for word in RUN if "retrained" not in word]
    with pytest.raises(UserError, match="references.retrained must be at least 1"):
        unlearn(compose_job(*words, f"references.retrained={count}", home=home))


def test_runs_of_another_making_are_told(home, capfd, monkeypatch):
    again = (*RUN, "seeds=3")
    unlearn(compose_job(*again, home=home))
    assert "made with" not in capfd.readouterr().err
    now = dict(making.versions())
    monkeypatch.setattr(making, "versions", lambda: {**now, "torch": "99.0"})
    unlearn(compose_job(*again, home=home))
    line = capfd.readouterr().err.splitlines()[0]
    assert f"it was made with torch {now['torch']}" in line and "is complete and skipped" in line


def test_a_comparison_of_mixed_sources_and_versions_says_so(home, capfd, caplog, monkeypatch):
    from unlearn.programs import documents, method_choice

    words = ("overwrite=true", "seeds=null", "seed=2")
    report, _ = compared(home, caplog, capfd)
    assert "made differently" not in (Path(report["report"]) / "results.md").read_text()
    now = dict(making.versions())
    monkeypatch.setattr(documents, "versions", lambda: {**now, "torch": "99.0"})
    monkeypatch.setattr(method_choice, "source_digest", lambda kind: "f" * 16)
    unlearn(compose_job(*RUN, *words, home=home))
    report, _ = compared(home, caplog, capfd)
    text = (Path(report["report"]) / "results.md").read_text()
    [line] = [line for line in text.splitlines() if "made differently" in line]
    assert "torch" in line and "99.0 (1)" in line and "source of ssd" in line
    assert "ffffff (1)" in line and "(2)" in line
