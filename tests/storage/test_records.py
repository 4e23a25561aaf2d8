"""Run records: written whole, replaced whole, and their failures noted."""

import json

import torch

from unlearn.storage.predictions import Predictions
from unlearn.storage.records import failure_file, note_failure, read_record, records, write_record


def outputs(value: float) -> dict[str, Predictions]:
    import inspect

    names = list(inspect.signature(Predictions).parameters)
    tensors = {name: torch.full((4,), int(value)) for name in names}
    tensors[names[0]] = torch.full((4, 3), value)
    return {"forget": Predictions(**tensors)}


def test_a_record_comes_back_as_it_was_written(tmp_path):
    folder = tmp_path / "problem" / "method" / "seed0"
    state = {"weight": torch.arange(3.0)}
    write_record(folder, {"seed": 0, "metrics": {"a": 0.1}}, outputs(2.0), state)
    found = read_record(folder)
    assert found.document["metrics"] == {"a": 0.1}
    assert torch.equal(found.state()["weight"], state["weight"])
    [name] = found.outputs()
    assert name == "forget"


def test_a_second_record_replaces_the_first_and_leaves_nothing_beside_it(tmp_path):
    folder = tmp_path / "seed1"
    stale = tmp_path / ".seed1.new.1.dead"
    stale.mkdir()
    other = tmp_path / ".seed11.new.1.alive"
    other.mkdir()
    note_failure(folder, "it failed before")
    assert json.loads(failure_file(folder).read_text())["status"] == "failed"
    for number in (1, 2):
        write_record(folder, {"number": number}, outputs(1.0), None)
    assert read_record(folder).document == {"number": 2}
    assert read_record(folder).state() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "seed1"]


def test_a_damaged_record_is_no_record(tmp_path):
    folder = tmp_path / "seed0"
    write_record(folder, {"number": 1}, outputs(1.0), None)
    assert len(records(tmp_path)) == 1
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace("1", "2"))
    assert read_record(folder) is None and records(tmp_path) == []
