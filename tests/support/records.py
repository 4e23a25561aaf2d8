"""Records of runs made by hand."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from unlearn.storage.predictions import Predictions
from unlearn.storage.records import place_of
from unlearn.training.fit import Costs


def document(folder: Path, **more: Any) -> dict[str, Any]:
    """The least that a record states."""
    return {
        "run": place_of(folder),
        "problem": {"digest": "0" * 64},
        "method": {"name": "toy", "values": {}},
        "seed": 0,
        "original_seed": 0,
        "metrics": {},
        "evaluations": {},
        "costs": asdict(Costs(1.0, 0.0, 1, 1, None, None, 1, "CPU")),
        "finished": "2026-01-01T00:00:00+00:00",
        "retain_examples": None,
        "overrides": [],
        "control": None,
        **more,
    }


def outputs(value: float) -> dict[str, Predictions]:
    """Of one split of four examples and three classes."""
    whole = torch.full((4,), int(value))
    return {"forget": Predictions(torch.full((4, 3), value), whole, whole)}
