"""What runs and models are made with: versions of packages, and the code of methods."""

import hashlib
import inspect
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

VERSIONED = (
    "unlearn-images",
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scikit-learn",
    "hydra-core",
)
TELLING = ("unlearn-images", "torch")  # of those, what is told where runs differ in it
PARTS = "unlearn.methods.parts."


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


def source_digest(kind: type) -> str:
    """Sixteen hexadecimal digits of the source of a class's module and of the parts it is made of.

    Args:
        kind: a method.

    Returns:
        `unknown` for classes without a file, as in an interpreter.
    """
    sources, waiting = {}, [kind.__module__]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        module = sys.modules.get(name)
        try:
            sources[name] = Path(inspect.getsourcefile(module) or "").read_bytes()  # type: ignore[arg-type]
        except (OSError, TypeError):
            return "unknown"
        for value in vars(module).values():
            owner = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            if isinstance(owner, str) and owner.startswith(PARTS):
                waiting.append(owner)
    found = hashlib.sha256()
    for name in sorted(sources):
        found.update(name.encode() + b"\0" + hashlib.sha256(sources[name]).digest())
    return found.hexdigest()[:16]


def made_otherwise(document: Mapping[str, Any], source: str) -> str:
    """What a run was made with that is no longer so, for a line that says it is used again.

    Args:
        document: of the run's record.
        source: digest of the method's code as it is now.

    Returns:
        Empty where nothing is known to differ.
    """
    now, then = versions(), document.get("versions", {})
    parts = [f"{name} {then[name]}" for name in TELLING if then.get(name, now[name]) != now[name]]
    if document["method"].get("source", source) != source:
        parts.insert(0, "another source of the method")
    return f"; it was made with {', '.join(parts)}" if parts else ""
