"""Records of runs: what a report needs to know of them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from unlearn.programs.plan import PlannedRun, UnlearnPlan
from unlearn.storage.making import versions
from unlearn.storage.records import place_of


def document_of(
    plan: UnlearnPlan,
    run: PlannedRun,
    metrics: Mapping[str, float],
    costs: Mapping[str, Any],
    data_access: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a run: everything a report needs, JSON only."""
    problem, yardstick = plan.problem, plan.yardstick
    return {
        "status": "complete",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "problem": {
            "name": problem.name,
            "digest": problem.digest,
            "synthetic": problem.synthetic,
            "task": problem.task.kind,
            "sizes": {name: len(split) for name, split in problem.splits.items()},
            "forget_indices": problem.forget_rows.tolist(),
        },
        "run": place_of(run.folder),
        "method": {
            "name": plan.method.name,
            "values": dict(plan.method.values),
            "source": plan.method.source,
        },
        "seed": run.seed,
        "original_seed": run.original_seed,
        "original_weights": None
        if run.is_control
        else plan.references.weights(run.role, run.start),
        "control": control_of(run),
        "metrics": listed(metrics),
        "evaluations": {name: yardstick.digests[name] for name in yardstick.of_runs},
        "costs": dict(costs),
        "data_access": dict(data_access),
        "versions": versions(),
        **plan.asked,
    }


def control_of(run: PlannedRun) -> dict[str, Any] | None:
    """Of a control run, where it started and what it forgot."""
    if not run.is_control:
        return None
    return {"retrained_seed": run.start, "forget_indices": run.problem.forget_rows.tolist()}


def listed(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers as JSON knows them: None for those that cannot be had."""
    return {key: None if math.isnan(value) else value for key, value in metrics.items()}
