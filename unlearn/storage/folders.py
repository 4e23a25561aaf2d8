"""Folders of tensors and JSON documents, with a checksum of every file."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from unlearn.errors import UserError
from unlearn.files.folders import NO_SUCH, aside_of, write_file

CHECKSUMS = "checksums.json"
SIZES = "bytes"  # key of the files' sizes among their checksums; older folders have none


class DamagedEntry(Exception):
    """A folder whose bytes are not those that were written.

    Args:
        what: is wrong with it.
        folder: that is damaged.
    """

    def __init__(self, what: str, folder: Path):
        super().__init__(what)
        self.folder = folder


def write_folder(
    folder: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, Any],
    kept: Sequence[Path] = (),
) -> Path:
    """Write a folder aside, flushed to the disk and ready to be renamed.

    Args:
        folder: where it will be.
        tensors: safetensors files by stem.
        documents: JSON files by stem; `checksums.json` is added.
        kept: files of another such folder that are taken over as they are.

    Returns:
        The folder aside.

    Raises:
        UserError: the disk is full or the folder cannot be written.
        DamagedEntry: a file that is to be taken over is no longer there.
    """
    aside = aside_of(folder, "writing")
    sums: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    try:
        aside.mkdir(parents=True)
        for stem, values in tensors.items():
            # A clone, since slices and tied weights share memory, which safetensors refuses.
            whole = {
                key: value.detach().cpu().clone().contiguous() for key, value in values.items()
            }
            _add(aside / f"{stem}.safetensors", save(whole), sums, sizes)
        for stem, document in documents.items():
            text = json.dumps(document, indent=1, sort_keys=True)
            _add(aside / f"{stem}.json", text.encode(), sums, sizes)
        for file in kept:
            _take_over(file, aside / file.name)
            # As it was written: a checksum of what it is now would bless any damage.
            sums[file.name] = checksums(file.parent)[file.name]
            sizes[file.name] = file.stat().st_size
        write_file(aside / CHECKSUMS, json.dumps({**sums, SIZES: sizes}, indent=1).encode())
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise cannot_write(folder, error) from error
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return aside


def _add(path: Path, data: bytes, sums: dict[str, Any], sizes: dict[str, int]) -> None:
    write_file(path, data)
    sums[path.name], sizes[path.name] = hashlib.sha256(data).hexdigest(), len(data)


def _take_over(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except FileNotFoundError as error:
        raise DamagedEntry(f"{file.name} is missing", file.parent) from error
    except OSError:  # a file system without links, or a file of another user
        write_file(target, file.read_bytes())


def cannot_write(folder: Path, error: Exception) -> UserError:
    """The error of a folder that cannot be written."""
    why = getattr(error, "strerror", None) or error
    return UserError(
        f"cannot write {folder}: {why}; free some space or choose another folder with paths.store "
        "or paths.runs"
    )


def cannot_read(path: Path, error: OSError) -> UserError:
    """The error of a file that is there and cannot be read: that is no damage."""
    return UserError(
        f"cannot read {path}: {error.strerror or error}; nothing was changed: mend that and start "
        "again, or choose another folder with paths.store or paths.runs"
    )


def read_tensors(folder: Path, stem: str) -> dict[str, Tensor]:
    """Tensors of a folder written by `write_folder`.

    Raises:
        DamagedEntry: the file is missing or its checksum does not match.
        UserError: the file is there and cannot be read.
    """
    name = f"{stem}.safetensors"
    try:
        return load(_verified(folder, name))
    except SafetensorError as error:
        raise DamagedEntry(f"{name} holds no tensors: {error}", folder) from error


def read_document(folder: Path, stem: str) -> Any:
    """A JSON file of a folder written by `write_folder`; raises as `read_tensors` does."""
    name = f"{stem}.json"
    try:
        return json.loads(_verified(folder, name))
    except ValueError as error:
        raise DamagedEntry(f"{name} is no JSON: {error}", folder) from error


def verify(folder: Path, names: Collection[str], unread: Collection[str] = ()) -> None:
    """Check files of a folder.

    Args:
        folder: written by `write_folder`.
        names: of files whose bytes are read and compared with their checksums.
        unread: of files of which only the size is looked at.

    Raises:
        DamagedEntry: a file is missing or not what was written.
        UserError: a file is there and cannot be read.
    """
    for name in names:
        _verified(folder, name)
    sizes = checksums(folder).get(SIZES)
    for name in unread:
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise _missing_or_unreadable(folder / name, error) from error
        if isinstance(sizes, dict) and sizes.get(name, size) != size:
            raise DamagedEntry(f"{name} has {size} bytes, {sizes[name]} were written", folder)


def checksums(folder: Path) -> dict[str, Any]:
    """SHA-256 of a folder's files by name; raises as `read_tensors` does."""
    try:
        found = json.loads(_bytes(folder / CHECKSUMS))
    except ValueError as error:
        raise DamagedEntry(f"{CHECKSUMS} is no JSON", folder) from error
    if not isinstance(found, dict):
        raise DamagedEntry(f"{CHECKSUMS} holds no checksums", folder)
    return found


def _verified(folder: Path, name: str) -> bytes:
    data = _bytes(folder / name)
    expected = checksums(folder).get(name)
    if not isinstance(expected, str):
        raise DamagedEntry(f"{CHECKSUMS} has no checksum of {name}", folder)
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedEntry(f"{name} does not match its checksum", folder)
    return data


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _missing_or_unreadable(path, error) from error


def _missing_or_unreadable(path: Path, error: OSError) -> DamagedEntry | UserError:
    if error.errno in (*NO_SUCH, errno.EISDIR, errno.ELOOP):
        return DamagedEntry(f"{path.name} is missing", path.parent)
    return cannot_read(path, error)
