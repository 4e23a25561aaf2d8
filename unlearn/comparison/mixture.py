"""Models of one comparison that were made differently: told, and left to the reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearn.storage.making import TELLING


def mixture(runs: Sequence[Mapping[str, Any]], models: Iterable[Mapping[str, str]]) -> str:
    """In what the models of a comparison were made differently.

    Args:
        runs: records.
        models: versions of packages that each reference model was made with.

    Returns:
        A sentence that names versions of packages and sources of methods with the number of models
        of each; empty where all were made alike. What states no version is not counted.
    """
    versions = [*(run.get("versions", {}) for run in runs), *models]
    parts = [_counted(name, (v[name] for v in versions if name in v)) for name in TELLING]
    sources: dict[str, list[str]] = {}
    for run in runs:
        if "source" in run["method"]:
            sources.setdefault(run["method"]["name"], []).append(run["method"]["source"][:6])
    parts += [_counted(f"source of {name}", found) for name, found in sorted(sources.items())]
    if not any(parts):
        return ""
    return (
        f"Models that were made differently are compared: {'; '.join(filter(None, parts))}. "
        "overwrite=true makes runs anew."
    )


def _counted(name: str, values: Iterable[str]) -> str:
    counts = sorted(Counter(values).items())
    listed = ", ".join(f"{value} ({count})" for value, count in counts)
    return f"{name} {listed}" if len(counts) > 1 else ""
