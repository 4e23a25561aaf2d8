"""Finding image files in folders, and saying clearly what is missing."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unlearn.errors import UserError

# What is looked at; what a file holds decides how it is read, see `image_reading.FORMATS`.
IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".bmp", ".dib", ".webp", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpx", ".tga",
}  # fmt: skip
ARCHIVE_SUFFIXES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}


@dataclass(frozen=True)
class ImageFile:
    """One file: its path relative to the listed folder, with what tells whether it changed.

    Attributes:
        name: relative path.
        size: in bytes.
        modified_ns: time of the last change of its content; programs can set it.
        changed_ns: time of the last change of content, name or rights; programs cannot set it.
        inode: number of the file in its file system.
    """

    name: str
    size: int
    modified_ns: int
    changed_ns: int = 0
    inode: int = 0


@dataclass(frozen=True)
class LeftOut:
    """A file that is not read: its relative path, and why, such as `.txt` or `hidden`."""

    name: str
    why: str


@dataclass(frozen=True)
class Listing:
    """What lies under a folder, sorted by relative path."""

    files: tuple[ImageFile, ...]
    left_out: tuple[LeftOut, ...]


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
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"{setting}={root} cannot be read: you lack the rights")
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


def list_images(folder: Path) -> Listing:
    """All image files under a folder, and the files that are none.

    Links are followed. Hidden files and folders are left out.

    Raises:
        UserError: a link that leads nowhere or in a circle, a pipe or device that is named like
            an image, or a folder that cannot be read.
    """
    found = list(_walk(folder, "", frozenset()))
    return Listing(
        tuple(file for file in found if isinstance(file, ImageFile)),
        tuple(file for file in found if isinstance(file, LeftOut)),
    )


def _walk(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]]
) -> Iterator[ImageFile | LeftOut]:
    try:
        own = folder.stat()
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror})") from None
    here = (own.st_dev, own.st_ino)
    if here in above:
        raise UserError(f"{folder} is a link to a folder that it lies in: take it out")
    for entry in ordered:
        name = prefix + entry.name
        if entry.name.startswith("."):
            yield LeftOut(name, "hidden")
            continue
        info = _stat(entry)
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (speed)
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(Path(entry.path), f"{name}/", above | {here})
        elif suffix not in IMAGE_SUFFIXES:
            yield LeftOut(name, suffix or "without a suffix")
        elif not stat.S_ISREG(info.st_mode):
            raise UserError(f"{entry.path} is a pipe or a device, not a file: take it out")
        else:
            yield ImageFile(name, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:
        if entry.is_symlink():
            target = Path(entry.path).readlink()
            raise UserError(
                f"{entry.path} is a link that leads nowhere (to {target}): mend it or take it out"
            ) from None
        raise UserError(f"{entry.path} cannot be read ({error.strerror})") from None
