"""Checkpoints of trainings that did not reach their end, beside what the store holds."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unlearn.files.folders import clean, drop, place
from unlearn.problem import canonical_digest
from unlearn.storage.folders import (
    DamagedEntry,
    cannot_write,
    read_document,
    read_tensors,
    write_folder,
)
from unlearn.storage.making import versions
from unlearn.storage.store import Store
from unlearn.training.checkpoints import Kept
from unlearn.training.fit import device_name
from unlearn.training.trainer import TrainerSettings

log = logging.getLogger(__name__)

FORMAT = 2  # of what is kept; others are not found


class CheckpointFolder:
    """The checkpoints of one training: `store/.checkpoints/<hash of what is trained>/<number>`.

    A training that is changed in any way has another hash, and finds none. Abandoned ones stay; the
    whole folder may be deleted at any time, and trainings then begin anew.

    Args:
        root: folder of the store.
        description: everything that makes it this training, JSON-able. Device and version of torch
            are added, since others compute other bits.
        device: that it runs on.
        minutes: between two checkpoints.
    """

    def __init__(
        self, root: Path, description: Mapping[str, Any], device: torch.device, minutes: float
    ):
        made_by = {
            "format": FORMAT,
            "device": device_name(device),
            **{name: versions()[name] for name in ("torch", "unlearn-images")},
        }
        code = canonical_digest({**description, **made_by})[:16]
        self.folder, self.minutes = root / ".checkpoints" / code, minutes

    def load(self) -> Kept | None:
        """What was saved last and is whole, None where there is nothing."""
        for number in reversed(self._numbers()):
            folder = self.folder / str(number)
            try:
                return read_tensors(folder, "state"), read_document(folder, "state")
            except DamagedEntry as error:
                log.warning("a damaged checkpoint is left out: %s (%s)", folder, error)
        return None

    def save(self, kept: Kept) -> None:
        """Write a new checkpoint, then remove the older ones.

        Raises:
            UserError: it cannot be written.
        """
        earlier = self._numbers()
        tensors, document = kept
        target = self.folder / str(max(earlier, default=0) + 1)
        try:
            aside = write_folder(target, {"state": tensors}, {"state": document})
            if not place(aside, target):  # another process, without locks, is at the same training
                drop(aside)
            clean(self.folder)
        except OSError as error:
            raise cannot_write(target, error) from error
        for number in earlier:
            shutil.rmtree(self.folder / str(number), ignore_errors=True)

    def remove(self) -> None:
        """The training has reached its end."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        try:
            return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())
        except FileNotFoundError:
            return []


def checkpoints_of(
    trained: Any, store: Store, settings: TrainerSettings
) -> CheckpointFolder | None:
    """Where the checkpoints of a training lie, None where none are to be kept.

    Args:
        trained: everything that makes it this training, JSON-able.
        store: that they lie in.
        settings: device and precision.
    """
    if settings.checkpoint_minutes is None:
        return None
    how = {
        "trained": trained,
        "precision": settings.precision,
        # These change the bits of a training, though not what is trained.
        "channels_last": settings.channels_last,
        "compile": settings.compile,
        "resident_gb": settings.resident_gb,
    }
    return CheckpointFolder(store.root, how, settings.device, settings.checkpoint_minutes)
