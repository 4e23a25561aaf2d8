"""What machines do to each other's unfinished folders where locks reach no further than one."""

from pathlib import Path

import pytest

from unlearn.files import folders

ELSEWHERE = "ffffffff-1-00000000"


def ours(folder: Path) -> tuple[str, ...]:
    return ("record",)


def put(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "record").write_text(text)
    return folder


def test_under_a_lock_what_another_machine_just_wrote_is_left_alone(tmp_path, monkeypatch):
    folder = put(tmp_path / "run", "whole")
    theirs = [put(tmp_path / f".run.{word}.{ELSEWHERE}", word) for word in ("writing", "new")]
    mine = put(folders.aside_of(folder, "writing"), "mine")
    folders.heal(folder, ours, alone=True)
    assert all((path / "record").exists() for path in theirs) and not mine.exists()

    monkeypatch.setattr(folders, "SPARED_SECONDS", -1.0)  # minutes later
    folders.heal(folder, ours, alone=True)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "record").read_text() == "whole"


def test_under_a_lock_what_another_machine_has_whole_takes_its_place_at_once(tmp_path):
    put(tmp_path / f".run.new.{ELSEWHERE}", "new")
    folders.heal(tmp_path / "run", ours, alone=True)
    assert (tmp_path / "run" / "record").read_text() == "new"


@pytest.mark.parametrize("before", [True, False])
def test_a_folder_that_another_machine_places_is_placed(tmp_path, monkeypatch, before):
    """Between the two renames another machine finishes them."""
    folder, rename = tmp_path / "run", Path.rename
    if before:
        put(folder, "old")

    def hastened(path: Path, target: Path) -> Path:
        if ".new." in path.name:
            monkeypatch.setattr(Path, "rename", rename)
            folders.heal(folder, ours, alone=True)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", hastened)
    folders.replace(put(folders.aside_of(folder, "writing"), "new"), folder, ours)
    assert (folder / "record").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]
