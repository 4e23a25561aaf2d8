"""Reads offline wandb runs back: what `wandb sync` would send."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
FILE_HEADER = RECORD_HEADER = 7


@dataclass
class OfflineRun:
    """What one offline run would show on a dashboard."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    exit_code: int | None = None


def offline_runs(folder: Path) -> list[OfflineRun]:
    """All offline runs below a folder, oldest first; ends wandb's service, which writes late."""
    import wandb

    wandb.teardown()
    return [read_run(file) for file in sorted(folder.glob("**/offline-run-*/*.wandb"))]


def read_run(file: Path) -> OfflineRun:
    """Parse one `.wandb` file."""
    from wandb.proto import wandb_internal_pb2

    found = OfflineRun()
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        found.kinds.add(kind)
        if kind == "run":
            found.run = record.run
            found.config.update(_items(record.run.config.update))
        elif kind == "config":
            found.config.update(_items(record.config.update))
        elif kind == "history":
            found.history.append(_items(record.history.item))
        elif kind == "summary":
            found.summary.update(_items(record.summary.update))
        elif kind == "metric":
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    return {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}


def _records(data: bytes) -> list[bytes]:
    """The records of a file of 32 KiB blocks; a record may span several blocks."""
    records, parts, at = [], b"", FILE_HEADER
    while at + RECORD_HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < RECORD_HEADER:
            at += left
            continue
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        kind = data[at + 6]  # 1 whole, 2 first, 3 middle, 4 last
        parts += data[at + RECORD_HEADER : at + RECORD_HEADER + size]
        at += RECORD_HEADER + size
        if kind in (1, 4):
            records.append(parts)
            parts = b""
    return records
