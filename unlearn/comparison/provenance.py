"""Where the numbers come from: versions, hardware, seeds, command lines."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from unlearn.comparison.groups import Group
from unlearn.errors import program
from unlearn.storage.making import versions


def provenance_of(
    overrides: Sequence[str], retrained: Group, groups: Sequence[Group]
) -> Mapping[str, Any]:
    """Everything a reader needs to repeat the comparison, JSON only."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([program("evaluate"), *overrides]),
        "versions": dict(versions()),
        "machine": f"{platform.system()} {platform.machine()}",
        "models": [
            {
                "row": group.label,
                "models": len(group),
                "seeds": ranges([member.seed for member in group.members]),
                "original_seeds": ranges(
                    [m.original_seed for m in group.members if m.original_seed is not None]
                ),
                "devices": sorted({m.costs.get("device", "unknown") for m in group.members}),
                "trained_at_once": sorted(
                    {m.costs.get("trained_at_once", 1) for m in group.members}
                ),
                "command": group.more,
                "values": {k: v for k, v in group.values.items() if not k.startswith("_")},
            }
            for group in (retrained, *groups)
        ],
    }


def ranges(seeds: Sequence[int]) -> str:
    """Seeds as text, runs of them shortened: `0-7, 12`."""
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
