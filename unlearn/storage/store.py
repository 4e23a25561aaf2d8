"""Content-addressed store: what was computed once is found again by what it is, not by a path."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from unlearn.errors import UserError
from unlearn.files import folders
from unlearn.files.locks import lock
from unlearn.problem import canonical_digest
from unlearn.storage.folders import (
    CHECKSUMS,
    DamagedEntry,
    cannot_read,
    cannot_write,
    read_document,
    read_tensors,
    write_folder,
)
from unlearn.training.processes import agree, is_first

log = logging.getLogger(__name__)

Made = tuple[dict[str, Tensor], dict[str, Any]]
FILES = ("tensors.safetensors", "meta.json", "description.json", CHECKSUMS)


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
    def digest(self) -> str:
        """Hash of the description."""
        return canonical_digest(self.description)

    @property
    def code(self) -> str:
        """Sixteen hexadecimal digits of it."""
        return self.digest[:16]


@dataclass(frozen=True)
class Entry:
    """Tensors and a JSON-able description of how they came about."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


class Store:
    """Entries by kind and description.

    The rename that publishes an entry is what makes it correct; the file lock only keeps two
    processes from doing the same work. An entry is damaged when a file is missing, does not match
    its checksum or belongs to another entry; then it is named, taken away and made anew. One that
    cannot be read at the moment is an error and stays as it is.

    Args:
        root: folder of the store, made when first written.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._full = False

    def folder(self, address: Address) -> Path:
        """Where an entry lies: a readable prefix and the hash of its description.

        The hash alone decides: an entry that was stored under another prefix is found too.

        Raises:
            UserError: the store cannot be read.
        """
        kind = self.root / address.kind
        folder = kind / f"{address.name}-{address.code}"
        try:
            if not folders.is_folder(folder):
                folder = next(kind.glob(f"[!.]*-{address.code}"), folder)
        except OSError as error:
            raise cannot_read(folder, error) from error
        return folder

    def has(self, address: Address) -> bool:
        """Whether there is an entry; its bytes are not read.

        Raises:
            UserError: the store cannot be read.
        """
        folder = self.folder(address)
        try:
            return folders.is_folder(folder)
        except OSError as error:
            raise cannot_read(folder, error) from error

    def read(self, address: Address) -> Entry | None:
        """An entry, or None where there is none. A damaged one is named, taken away and gone.

        Raises:
            UserError: the entry is there and cannot be read.
        """
        try:
            return self._read(address)
        except DamagedEntry:
            with self.lock(address):  # another process may be mending it
                return self._mended(address)

    def _read(self, address: Address) -> Entry | None:
        meta = self._meta(address)
        if meta is None:
            return None
        return Entry(read_tensors(self.folder(address), "tensors"), meta)

    def meta(self, address: Address) -> dict[str, Any] | None:
        """How an entry came about, without its tensors; None where it is missing or damaged.

        Raises:
            UserError: it is there and cannot be read.
        """
        try:
            return self._meta(address)
        except DamagedEntry:
            return None

    def _meta(self, address: Address) -> dict[str, Any] | None:
        if not self.has(address):
            return None
        folder = self.folder(address)
        if canonical_digest(read_document(folder, "description")) != address.digest:
            raise DamagedEntry("description.json is of another entry", folder)
        return read_document(folder, "meta")

    def _mended(self, address: Address) -> Entry | None:
        """`read` under the lock."""
        try:
            return self._read(address)
        except DamagedEntry as error:
            folder = error.folder
            left = None
            if is_first():
                log.warning("the store entry %s is damaged (%s); it will be rebuilt", folder, error)
                try:
                    left = folders.discard(folder, _ours)
                except OSError as why:
                    raise cannot_write(folder, why) from why
            if left is not None:
                log.warning("files there that are not the store's are kept in %s", left)
            return None

    def get_or_make(self, address: Address, make: Callable[[], Made]) -> Entry:
        """An entry, made and published first if the store lacks it; made once by many askers."""
        entry = self.read(address)
        if not agree(entry is None) and entry is not None:
            return entry
        with self.lock(address):
            entry = self._mended(address)
            if agree(entry is None):
                self.publish(address, make())
                agree(None)  # the others wait until it is there
                entry = self._mended(address)
        if entry is None:
            raise UserError(
                f"{self.folder(address)}: what was written there is not what is read: check the "
                "disk, or choose another folder with paths.store"
            )
        return entry

    def lock(self, address: Address) -> AbstractContextManager[Any]:
        """The lock of one entry; the system releases it when its holder dies."""
        if not is_first():
            return nullcontext()
        what = f"the {address.kind} entry {address.name} of the store"
        return lock(self.root / ".locks", f"{address.kind}-{address.code}", what)

    def publish(self, address: Address, made: Made) -> None:
        """Write an entry; one that is already there is kept. Only the first process writes."""
        if not is_first():
            return
        folder = self.folder(address)
        folders.clean(folder.parent)
        if self.has(address):
            return
        tensors, meta = made
        documents = {"meta": meta, "description": dict(address.description)}
        aside = write_folder(folder, {"tensors": tensors}, documents)
        try:
            folders.place(aside, folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        finally:
            folders.drop(aside)

    def keep(self, address: Address, made: Made) -> None:
        """`publish` where that is possible: for what takes little to make again."""
        try:
            self.publish(address, made)
        except UserError as error:
            if not self._full:
                self._full = True
                log.warning("%s; until then some numbers are computed anew each time", error)

    def nearest_difference(self, address: Address) -> str:
        """What the most similar entry of the same name has otherwise, for messages on a miss."""
        description = address.description
        best: list[str] | None = None
        for folder in (self.root / address.kind).glob(f"{address.name}-*"):
            try:
                other = read_document(folder, "description")
            except (DamagedEntry, UserError):
                continue
            differing = sorted(
                key for key in {*description, *other} if description.get(key) != other.get(key)
            )
            if best is None or len(differing) < len(best):
                best = differing
        return "" if not best else f"the nearest one there differs in {', '.join(best)}"


def _ours(folder: Path) -> tuple[str, ...]:
    return FILES
