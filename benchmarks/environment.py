"""Where and with what a benchmark ran: the provenance every result file carries."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

_PACKAGES = ("torch", "torchvision", "lightning", "numpy", "scipy", "scikit-learn")


def environment() -> dict[str, object]:
    """Describes machine, versions and commit.

    Returns:
        JSON-ready: ``date`` (UTC), ``commit`` (with ``-dirty`` if tracked files differ, None
        outside a checkout), ``cpu``, ``cores``, ``memory_gib``, ``gpu`` (None without one),
        ``torch_threads``, ``python``, ``platform`` and ``packages``.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    kib = int(info.read_text().split("MemTotal:")[1].split()[0])
    return round(kib / 2**20, 1)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
