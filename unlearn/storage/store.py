"""Content-addressed store: what was computed once is found again by what it is, not by a path."""

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from unlearn.errors import UserError
from unlearn.problem import canonical_digest
from unlearn.training.processes import agree, is_first

log = logging.getLogger(__name__)

Made = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Address:
    """Where a stored thing lies: what it is decides, its name is for people.

    Attributes:
        kind: such as `original`, `retrained`, `outputs`; a folder of the store.
        name: readable prefix of its folder.
        description: everything that makes it this one, JSON-able.
    """

    kind: str
    name: str
    description: Mapping[str, Any]

    @cached_property
    def code(self) -> str:
        """Sixteen hexadecimal digits of the description's hash."""
        return canonical_digest(self.description)[:16]


@dataclass(frozen=True)
class Entry:
    """Tensors and a JSON-able description of how they came about."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


class DamagedEntry(Exception):
    """An entry whose bytes are not those that were written."""


def write_folder(
    folder: Path, tensors: dict[str, dict[str, Tensor]], documents: dict[str, Any]
) -> None:
    """Write a folder aside and rename it into place: it is visible whole or not at all.

    Args:
        folder: must not exist.
        tensors: safetensors files by stem.
        documents: JSON files by stem; `checksums.json` is added.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    aside = folder.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        aside.mkdir(parents=True)
        for stem, values in tensors.items():
            # A clone, since slices and tied weights share memory, which safetensors refuses.
            values = {
                key: value.detach().cpu().clone().contiguous() for key, value in values.items()
            }
            save_file(values, aside / f"{stem}.safetensors")
        for stem, document in documents.items():
            (aside / f"{stem}.json").write_text(json.dumps(document, indent=1, sort_keys=True))
        sums = {file.name: _checksum(file.read_bytes()) for file in sorted(aside.iterdir())}
        (aside / "checksums.json").write_text(json.dumps(sums, indent=1))
        aside.rename(folder)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot write {folder}: {why}; free some space or choose another "
            "folder with paths.store or paths.runs"
        ) from error
    finally:
        if aside.exists():
            shutil.rmtree(aside, ignore_errors=True)


def read_tensors(folder: Path, stem: str) -> dict[str, Tensor]:
    """Tensors of a folder written by `write_folder`.

    Raises:
        DamagedEntry: the file is missing or its checksum does not match.
    """
    name = f"{stem}.safetensors"
    try:
        data = (folder / name).read_bytes()
        if _checksum(data) != json.loads((folder / "checksums.json").read_text())[name]:
            raise DamagedEntry(f"{folder / name} does not match its checksum")
        return load(data)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise DamagedEntry(f"{folder / name}: {error}") from error


def read_document(folder: Path, stem: str) -> Any:
    """A JSON file of a folder written by `write_folder`; raises `DamagedEntry` as above."""
    name = f"{stem}.json"
    try:
        data = (folder / name).read_bytes()
        if _checksum(data) != json.loads((folder / "checksums.json").read_text())[name]:
            raise DamagedEntry(f"{folder / name} does not match its checksum")
        return json.loads(data)
    except (OSError, KeyError, ValueError) as error:
        raise DamagedEntry(f"{folder / name}: {error}") from error


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Store:
    """Entries by kind and description.

    The rename that publishes an entry is what makes it correct; the file lock only keeps two
    processes from doing the same work.

    Args:
        root: folder of the store, made when first written.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def folder(self, address: Address) -> Path:
        """Where an entry lies: a readable prefix and the hash of its description.

        The hash alone decides: an entry that was stored under another prefix is found too.
        """
        folder = self.root / address.kind / f"{address.name}-{address.code}"
        if not folder.is_dir():
            folder = next((self.root / address.kind).glob(f"[!.]*-{address.code}"), folder)
        return folder

    def read(self, address: Address) -> Entry | None:
        """An entry, or None where there is none. A damaged one is named, moved away and gone."""
        folder = self.folder(address)
        if not folder.is_dir():
            return None
        try:
            return Entry(read_tensors(folder, "tensors"), read_document(folder, "meta"))
        except DamagedEntry as error:
            log.warning("the store entry %s is damaged (%s); it will be rebuilt", folder, error)
            self._remove(folder)
            return None

    def get_or_make(self, address: Address, make: Callable[[], Made]) -> Entry:
        """An entry, made and published first if the store lacks it; made once by many askers."""
        entry = self.read(address)
        if not agree(entry is None) and entry is not None:
            return entry
        with self.lock(address):
            entry = self.read(address)
            if agree(entry is None):
                self.publish(address, make())
                agree(None)  # the others wait until it is there
                entry = self.read(address)
        assert entry is not None
        return entry

    def lock(self, address: Address) -> AbstractContextManager[Any]:
        """The lock of one entry; the system releases it when its holder dies."""
        if not is_first():
            return nullcontext()
        locks = self.root / ".locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write {self.root}: {error.strerror}; set paths.store"
            ) from error
        return FileLock(locks / f"{address.kind}-{address.code}.lock")

    def publish(self, address: Address, made: Made) -> None:
        """Write an entry; one that is already there is kept. Only the first process writes."""
        if not is_first():
            return
        folder = self.folder(address)
        for stale in folder.parent.glob(f".{folder.name}.*"):  # left by a killed writer
            shutil.rmtree(stale, ignore_errors=True)
        if folder.exists():
            return
        tensors, meta = made
        write_folder(
            folder, {"tensors": tensors}, {"meta": meta, "description": dict(address.description)}
        )

    def nearest_difference(self, address: Address) -> str:
        """What the most similar entry of the same name has otherwise, for messages on a miss."""
        description = address.description
        best: list[str] | None = None
        for folder in (self.root / address.kind).glob(f"{address.name}-*"):
            try:
                other = read_document(folder, "description")
            except DamagedEntry:
                continue
            differing = sorted(
                key for key in {*description, *other} if description.get(key) != other.get(key)
            )
            if best is None or len(differing) < len(best):
                best = differing
        return "" if not best else f"the nearest one there differs in {', '.join(best)}"

    def _remove(self, folder: Path) -> None:
        away = folder.parent / f".{folder.name}.damaged.{uuid.uuid4().hex[:8]}"
        try:
            folder.rename(away)
        except OSError:
            return  # another process was faster
        shutil.rmtree(away, ignore_errors=True)
