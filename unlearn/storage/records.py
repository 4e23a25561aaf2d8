"""Run records: one folder a run, written whole or not at all."""

import json
import os
import platform
import shutil
import uuid
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from unlearn.storage.predictions import BySplit, Predictions, pack, unpack
from unlearn.storage.store import DamagedEntry, read_document, read_tensors, write_folder
from unlearn.training.processes import agree, is_first

VERSIONED = (
    "unlearn-images",
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scikit-learn",
    "hydra-core",
)


@dataclass(frozen=True)
class RunRecord:
    """One finished run.

    Attributes:
        folder: where it lies.
        document: problem digest, method, seeds, metrics, costs, data access, versions, config.
    """

    folder: Path
    document: dict[str, Any]

    def outputs(self) -> dict[str, Predictions]:
        """The unlearned model's predictions by split."""
        return unpack(read_tensors(self.folder, "outputs"))

    def state(self) -> dict[str, Tensor] | None:
        """The unlearned model's weights, None where the run did not keep them."""
        if not (self.folder / "model.safetensors").exists():
            return None
        return read_tensors(self.folder, "model")


def write_record(
    folder: Path, document: dict[str, Any], outputs: BySplit, state: dict[str, Tensor] | None
) -> RunRecord:
    """Publish a run, in place of an older one if there is. One process at a time may write it."""
    if is_first():
        _publish(folder, document, outputs, state)
    agree(None)  # processes that trained one model together wait until it is there
    return RunRecord(folder, document)


def _publish(
    folder: Path, document: dict[str, Any], outputs: BySplit, state: dict[str, Tensor] | None
) -> None:
    tensors = {"outputs": pack(outputs)}
    if state is not None:
        tensors["model"] = state
    for stale in folder.parent.glob(f".*{folder.name}.*.*"):  # left by a killed writer
        shutil.rmtree(stale, ignore_errors=True)
    fresh = folder.parent / f".{folder.name}.new.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    write_folder(fresh, tensors, {"record": document})
    if folder.exists():
        old = folder.parent / f".{folder.name}.old.{uuid.uuid4().hex[:8]}"
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    fresh.rename(folder)
    failure_file(folder).unlink(missing_ok=True)


def read_record(folder: Path) -> RunRecord | None:
    """The run in a folder, None where there is none or its files are damaged."""
    try:
        return RunRecord(folder, read_document(folder, "record"))
    except DamagedEntry:
        return None


def failure_file(folder: Path) -> Path:
    """Where the error of a failed run is noted until it succeeds."""
    return folder.parent / f"{folder.name}.failed.json"


def note_failure(folder: Path, error: str) -> None:
    """Keep a failed run's error beside where its record would be."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    failure_file(folder).write_text(json.dumps({"status": "failed", "error": error}, indent=1))


def records(root: Path) -> list[RunRecord]:
    """All complete runs below a folder, in a stable order."""
    found = (read_record(path.parent) for path in sorted(root.glob("**/record.json")))
    return [r for r in found if r is not None and not r.folder.name.startswith(".")]


@cache
def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a vendored or renamed build, a checkout never installed
            found[package] = "unknown"
    return found
