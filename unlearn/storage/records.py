"""Run records: one folder a run, written whole or not at all."""

import json
import logging
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from unlearn.files import folders
from unlearn.storage.folders import (
    CHECKSUMS,
    DamagedEntry,
    cannot_read,
    cannot_write,
    checksums,
    read_document,
    read_tensors,
    verify,
    write_folder,
)
from unlearn.storage.predictions import BySplit, Predictions, pack, unpack
from unlearn.training.fit import Costs
from unlearn.training.processes import agree, is_first

log = logging.getLogger(__name__)

FILES = ("record.json", "outputs.safetensors", "model.safetensors", CHECKSUMS)
RUN_FOLDER = re.compile(r"(control_)?(original|retrained)\d+_seed\d+(-[0-9a-f]+)*")
# What a reader of records relies on.
KEYS: Mapping[str, type | tuple[type, ...]] = {
    "problem": dict,
    "method": dict,
    "seed": int,
    "original_seed": (int, type(None)),
    "metrics": dict,
    "evaluations": dict,
    "costs": dict,
    "finished": str,
    "retain_examples": (int, type(None)),
    "overrides": list,
    "control": (dict, type(None)),
}
PARTS = {
    "problem": {"digest"},
    "method": {"name", "values"},
    "costs": {field.name for field in fields(Costs)},
}


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

    @property
    def has_state(self) -> bool:
        """Whether the run kept the unlearned model's weights."""
        return _has_model(self.folder)

    def state(self) -> dict[str, Tensor] | None:
        """The unlearned model's weights, None where the run did not keep them."""
        return read_tensors(self.folder, "model") if self.has_state else None


def write_record(
    folder: Path, document: dict[str, Any], outputs: BySplit, state: dict[str, Tensor] | None
) -> RunRecord:
    """Publish a run, in place of an older one if there is; files of others in its folder stay."""
    if is_first():
        tensors = {"outputs": pack(outputs)}
        if state is not None:
            tensors["model"] = state
        _publish(folder, write_folder(folder, tensors, {"record": document}))
    agree(None)  # processes that trained one model together wait until it is there
    return RunRecord(folder, document)


def amend_record(record: RunRecord, document: dict[str, Any]) -> RunRecord:
    """Replace a run's document; outputs and weights are taken over as they are."""
    if is_first():
        folder = record.folder
        kept = [folder / "outputs.safetensors"]
        if record.has_state:
            kept.append(folder / "model.safetensors")
        _publish(folder, write_folder(folder, {}, {"record": document}, kept))
    agree(None)
    return RunRecord(record.folder, document)


def _publish(folder: Path, aside: Path) -> None:
    try:
        folders.replace(aside, folder, _ours)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        folders.drop(aside)
    failure_file(folder).unlink(missing_ok=True)


def heal(folder: Path, alone: bool = False) -> None:
    """Finish what a killed process began where a run lies.

    Args:
        folder: of the run.
        alone: its lock is held.
    """
    if is_first():
        folders.heal(folder, _ours, alone)
        folders.clean(folder.parent)


def _ours(folder: Path) -> Collection[str]:
    return FILES


def read_record(folder: Path) -> RunRecord | None:
    """The run in a folder, None where there is none.

    Its predictions are read and compared with their checksum; of its weights, which may be large,
    only the size is looked at.

    Raises:
        DamagedEntry: there is one that is not what was written, or was written by another version.
        UserError: there is one that cannot be read.
    """
    try:
        if not folders.is_folder(folder) or not any((folder / name).exists() for name in FILES):
            return None
        document = read_document(folder, "record")
        _check(folder, document)
        verify(folder, ["outputs.safetensors"], ["model.safetensors"] if _has_model(folder) else [])
    except OSError as error:
        raise cannot_read(folder, error) from error
    return RunRecord(folder, document)


def _has_model(folder: Path) -> bool:
    """Whether weights were kept: as it was written, and not whether the file is still there."""
    return "model.safetensors" in checksums(folder)


def _check(folder: Path, document: Any) -> None:
    """Whether a document is a record, and of this folder."""
    if not isinstance(document, dict):
        raise DamagedEntry("record.json is no record", folder)
    for key, kind in KEYS.items():
        if not isinstance(document.get(key), kind):
            raise DamagedEntry(f"record.json is of another version: it states no {key}", folder)
    for key, parts in PARTS.items():
        if lacking := sorted(parts - document[key].keys()):
            raise DamagedEntry(
                f"record.json is of another version: its {key} state no {lacking[0]}", folder
            )
    if document.get("run", place_of(folder)) != place_of(folder):
        raise DamagedEntry(f"it is the run {document['run']}, copied or exchanged", folder)


def place_of(folder: Path) -> str:
    """Where a run belongs: the names of the folders of its method and of itself."""
    return f"{folder.parent.name}/{folder.name}"


def failure_file(folder: Path) -> Path:
    """Where the error of a failed run is noted until it succeeds."""
    return folder.parent / f"{folder.name}.failed.json"


def note_failure(folder: Path, error: str) -> None:
    """Keep a failed run's error beside where its record would be."""
    with suppress(OSError):  # the error itself is what is to be told
        folder.parent.mkdir(parents=True, exist_ok=True)
        failure_file(folder).write_text(json.dumps({"status": "failed", "error": error}, indent=1))


def records(root: Path) -> list[RunRecord]:
    """All complete runs below a folder, in a stable order; each damaged one is named and left out.

    Raises:
        UserError: a run is there and cannot be read.
    """
    aside = [path for path in root.glob("**/.*") if folders.name_of(path)]
    for folder in sorted({path.with_name(folders.name_of(path)) for path in aside}):
        heal(folder)
    named = {path for path in root.glob("**/*") if RUN_FOLDER.fullmatch(path.name)}
    by_file = {path.parent for path in root.glob("**/record.json")}
    found = []
    for folder in sorted(named | by_file):
        if any(part.startswith(".") for part in folder.relative_to(root).parts):
            continue
        try:
            record = read_record(folder)
            if record is None:
                raise DamagedEntry("its files are missing", folder)
            found.append(record)
        except DamagedEntry as error:
            log.warning("the run %s is damaged (%s) and left out", folder, error)
    return found
