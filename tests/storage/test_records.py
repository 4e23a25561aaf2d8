"""Run records: written whole, replaced whole, damage found, and their failures noted."""

import json
import os
import subprocess
import sys

import pytest
import torch
from support.records import document, outputs

from unlearn.files import folders
from unlearn.storage.folders import DamagedEntry, write_folder
from unlearn.storage.predictions import pack
from unlearn.storage.records import (
    amend_record,
    failure_file,
    heal,
    note_failure,
    read_record,
    records,
    write_record,
)

STATE = {"weight": torch.arange(3.0)}


def written(folder, **more):
    return write_record(folder, document(folder, **more), outputs(2.0), STATE)


def dead() -> str:
    """`who` of a process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return f"{folders._machine()}-{child.pid}-00000000"


def test_a_record_comes_back_as_it_was_written(tmp_path):
    folder = tmp_path / "problem" / "method" / "seed0"
    written(folder, metrics={"a": 0.1})
    found = read_record(folder)
    assert found.document["metrics"] == {"a": 0.1}
    assert torch.equal(found.state()["weight"], STATE["weight"])
    [name] = found.outputs()
    assert name == "forget"
    assert read_record(tmp_path / "nothing") is None


def test_a_second_record_replaces_the_first_and_leaves_nothing_beside_it(tmp_path):
    folder = tmp_path / "seed1"
    stale = tmp_path / f".seed1.writing.{dead()}"
    stale.mkdir()
    other = folders.aside_of(tmp_path / "seed11", "writing")  # of a process that lives
    other.mkdir()
    strange = tmp_path / ".seed1.writing.notes"  # of somebody else
    strange.mkdir()
    note_failure(folder, "it failed before")
    assert json.loads(failure_file(folder).read_text())["status"] == "failed"
    for number in (1, 2):
        heal(folder)
        write_record(folder, document(folder, seed=number), outputs(1.0), None)
    assert read_record(folder).document["seed"] == 2
    assert read_record(folder).state() is None
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([other.name, strange.name, "seed1"])


def test_files_of_others_stay_and_what_was_trained_is_not_touched(tmp_path):
    folder = tmp_path / "m" / "seed0"
    first = written(folder)
    (folder / "losses.csv").write_text("step,value\n")
    (folder / "plots").mkdir()
    (folder / "plots" / "mine.txt").write_text("mine")
    trained = {
        name: ((folder / name).stat().st_ino, (folder / name).read_bytes())
        for name in ("outputs.safetensors", "model.safetensors")
    }
    amend_record(first, document(folder, metrics={"more": 1.0}))
    assert read_record(folder).document["metrics"] == {"more": 1.0}
    for name, (inode, data) in trained.items():
        assert ((folder / name).stat().st_ino, (folder / name).read_bytes()) == (inode, data)
    written(folder)
    assert (folder / "losses.csv").read_text() == "step,value\n"
    assert (folder / "plots" / "mine.txt").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == ["seed0"]


def test_an_amended_record_does_not_bless_damaged_weights(tmp_path):
    folder = tmp_path / "m" / "seed0"
    first = written(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    amend_record(first, document(folder))
    with pytest.raises(DamagedEntry, match="model.safetensors does not match"):
        read_record(folder).state()


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "flipped record": lambda f: flip(f / "record.json"),
    "flipped outputs": lambda f: flip(f / "outputs.safetensors"),
    "flipped checksums": lambda f: (f / "checksums.json").write_bytes(b"{\xff"),
    "truncated record": lambda f: halve(f / "record.json"),
    "truncated outputs": lambda f: halve(f / "outputs.safetensors"),
    "truncated weights": lambda f: halve(f / "model.safetensors"),
    "empty record": lambda f: (f / "record.json").write_bytes(b""),
    "empty checksums": lambda f: (f / "checksums.json").write_bytes(b""),
    "foreign record": lambda f: (f / "record.json").write_text("{}"),
    "foreign checksums": lambda f: (f / "checksums.json").write_text("[]"),
    "no record": lambda f: (f / "record.json").unlink(),
    "no outputs": lambda f: (f / "outputs.safetensors").unlink(),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "nothing": lambda f: [path.unlink() for path in f.iterdir()],
    "a folder for a record": lambda f: [(f / "record.json").unlink(), (f / "record.json").mkdir()],
    "another version": lambda f: write_record(f, {"seed": 0}, outputs(1.0), None),
    "a list": lambda f: write_record(f, [1], outputs(1.0), None),
    "an older cost": lambda f: write_record(f, document(f, costs={}), outputs(1.0), None),
    "exchanged": lambda f: write_record(f, document(f.parent / "s"), outputs(1.0), None),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_run_is_named_in_one_line_and_the_others_are_kept(tmp_path, caplog, damage):
    spoilt, whole = tmp_path / "m" / "original0_seed0", tmp_path / "m" / "original0_seed1"
    for folder in (spoilt, whole):
        written(folder)
    assert len(records(tmp_path)) == 2 and not caplog.messages
    damage(spoilt)
    assert [record.folder for record in records(tmp_path)] == [whole]
    [line] = caplog.messages
    assert str(spoilt) in line and "damaged" in line and "\n" not in line


def test_a_copied_run_is_no_second_model(tmp_path, caplog):
    import shutil

    folder = tmp_path / "m" / "original0_seed0"
    written(folder)
    shutil.copytree(folder, folder.with_name("original0_seed0 copy"))
    assert [record.folder for record in records(tmp_path)] == [folder]
    assert "copied or exchanged" in caplog.text


@pytest.mark.parametrize("killed", ["before the old one was moved", "between the renames", "after"])
def test_a_kill_while_a_run_is_published_heals(tmp_path, killed):
    """The whole copy is used; a file of somebody else survives wherever the kill came."""
    folder, who = tmp_path / "m" / "original0_seed0", dead()
    written(folder)
    (folder / "mine.txt").write_text("mine")
    fresh = folder.parent / f".{folder.name}.new.{who}"
    aside = write_folder(
        folder, {"outputs": pack(outputs(3.0))}, {"record": document(folder, metrics={"a": 1.0})}
    )
    aside.rename(fresh)
    if killed != "before the old one was moved":
        folder.rename(folder.parent / f".{folder.name}.old.{who}")
    if killed == "after":
        fresh.rename(folder)
    [found] = records(tmp_path)
    assert found.document["metrics"] == ({} if killed.startswith("before") else {"a": 1.0})
    assert (folder / "mine.txt").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_old_run_comes_back_where_the_new_one_is_lost(tmp_path):
    folder = tmp_path / "m" / "original0_seed0"
    written(folder)
    folder.rename(folder.parent / f".{folder.name}.old.{dead()}")
    assert len(records(tmp_path)) == 1 and folder.is_dir()


def test_what_a_living_process_writes_is_left_alone(tmp_path, monkeypatch):
    folder = tmp_path / "m" / "original0_seed0"
    written(folder)
    old = folder.parent / f".{folder.name}.old.{folders._machine()}-{os.getpid()}-00000000"
    folder.rename(old)
    elsewhere = folder.parent / f".{folder.name}.new.ffffffff-1-00000000"
    elsewhere.mkdir()
    assert records(tmp_path) == [] and old.is_dir() and elsewhere.is_dir()
    monkeypatch.setattr(folders, "STALE_SECONDS", -1.0)  # a day later
    elsewhere.rmdir()
    assert len(records(tmp_path)) == 1
