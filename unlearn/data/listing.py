"""Finding image files in folders, and saying clearly what is missing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unlearn.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"}
ARCHIVE_SUFFIXES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}


@dataclass(frozen=True)
class ImageFile:
    """One file: its path relative to the listed folder, with what tells whether it changed."""

    name: str
    size: int
    modified_ns: int


def require_folder(root: str | None, setting: str, source: str, layout: str) -> Path:
    """The folder a user points at.

    Args:
        root: what the user gave.
        setting: its configuration key.
        source: where the data comes from.
        layout: the tree that is expected in it.

    Raises:
        UserError: there is no such folder, or it is an archive that must be unpacked first.
    """
    where = f"expected {layout}; {source}"
    if root is None:
        raise UserError(f"{setting} is missing: give it as {setting}=FOLDER; {where}")
    path = Path(root).expanduser()
    if path.is_file():
        kind = "an archive: unpack it" if path.suffix in ARCHIVE_SUFFIXES else "a file"
        raise UserError(f"{setting}={root} is {kind} and give the folder; {where}")
    if not path.is_dir():
        raise UserError(f"{setting}={root}: no such folder; {where}")
    return path


def require_entry(path: Path, setting: str, source: str, layout: str) -> Path:
    """A file or folder that must exist inside the data folder; errors as `require_folder`."""
    if path.exists():
        return path
    archives = [p.name for p in path.parent.iterdir() if p.suffix in ARCHIVE_SUFFIXES]
    unpack = f" (there is the archive {archives[0]}: unpack it)" if archives else ""
    raise UserError(
        f"{setting}={path.parent}: there is no {path.name} in it{unpack}; "
        f"expected {layout}; {source}"
    )


def list_images(folder: Path) -> list[ImageFile]:
    """All image files under a folder, sorted by relative path; hidden files are left out."""
    return list(_walk(folder, ""))


def _walk(folder: Path, prefix: str) -> Iterator[ImageFile]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122 (speed)
            info = entry.stat()
            yield ImageFile(prefix + entry.name, info.st_size, info.st_mtime_ns)
