"""Worlds for `coverage.py`: populations of models of which the truth is known.

Simulated worlds have Gaussian log odds, correlation 0.3 between the examples of a model through a
random effect. Worlds of a bank are disjoint sets of stored models. In either, rows are drawn as the
retrained models are (null), or one standard deviation over models away from them on every forget
example (shifted).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unlearn.metrics.statistics import hinge_margin, logit_margin

FORGET, TEST, CORRELATION = 48, 90, 0.3
THIRD, FOURTH = slice(None, None, 3), slice(None, None, 4)


@dataclass
class Models:
    """What the numbers read of a population: ``(models, ...)`` each."""

    hinge: Tensor
    odds: Tensor
    test_odds: Tensor
    log_p: Tensor
    retain_accuracy: Tensor
    test_accuracy: Tensor

    def __getitem__(self, index: Tensor) -> Models:
        return Models(*(getattr(self, f.name)[index] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.odds)


def of_logits(forget: Tensor, targets: Tensor, test: Tensor, test_targets: Tensor, retain: Tensor):
    """Models from logits ``(models, examples, classes)`` and retain accuracies ``(models,)``."""
    test_odds = logit_margin(test, test_targets)
    return Models(
        hinge_margin(forget, targets),
        logit_margin(forget, targets),
        test_odds,
        forget.double().log_softmax(-1),
        retain,
        (hinge_margin(test, test_targets) > 0).double().mean(1),
    )


def two_classes(odds: Tensor) -> Tensor:
    """Logits of the true class, number 0, against the rest."""
    return torch.stack([odds, torch.zeros_like(odds)], -1)


Sampler = Callable[[int, torch.Generator], tuple[Models, Models, Models]]


def simulated(shift: float) -> Sampler:
    """Draws retrained models, twice as many as a row has, and two rows whose forget log odds are
    ``shift`` deviations higher."""
    fixed = torch.Generator().manual_seed(7)
    shape = FORGET + 2 * TEST
    location = 3 + 2 * torch.randn(shape, generator=fixed, dtype=torch.float64)
    scale = (0.3 * torch.randn(shape, generator=fixed, dtype=torch.float64)).exp()

    def population(models: int, moved: float, generator: torch.Generator) -> Models:
        effect = torch.randn(models, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(models, shape, generator=generator, dtype=torch.float64)
        standard = math.sqrt(CORRELATION) * effect + math.sqrt(1 - CORRELATION) * noise
        standard[:, :FORGET] += moved
        odds = location + scale * standard
        forget, test, retain = odds.split([FORGET, TEST, TEST], 1)
        zeros = torch.zeros(TEST, dtype=torch.long)
        right = (retain > 0).double().mean(1)
        return of_logits(two_classes(forget), zeros[:FORGET], two_classes(test), zeros, right)

    return lambda models, generator: (
        population(2 * models, 0.0, generator),
        population(models, shift, generator),
        population(models, shift, generator),
    )


def banked(folder: Path, kind: str) -> Sampler:
    """Draws disjoint sets from stored models; ``kind`` is null, shifted or originals."""
    retrained = _bank(folder, "-retrained-")
    other = retrained
    if kind == "shifted":
        other = _bank(folder, "-retrained-", shift=1.0)
    elif kind == "originals":
        other = _bank(folder, "-original-")

    def draw(models: int, generator: torch.Generator) -> tuple[Models, Models, Models]:
        order = torch.randperm(len(retrained), generator=generator)
        r, a, b, _ = order.split([2 * models, models, models, len(order) - 4 * models])
        if kind == "originals":
            a, b = torch.randperm(len(other), generator=generator)[: 2 * models].split(models)
        return retrained[r], other[a], other[b]

    return draw


def _bank(folder: Path, name: str, shift: float = 0.0) -> Models:
    stored = [load_file(path) for path in sorted(folder.glob(f"*{name}*/tensors.safetensors"))]
    if not stored:
        raise SystemExit(f"{folder} holds no outputs of models *{name}*: see the head of the file")
    forget = torch.stack([s["forget/logits"][THIRD] for s in stored])
    test = torch.stack([s["test/logits"][FOURTH] for s in stored])
    targets, test_targets = stored[0]["forget/targets"][THIRD], stored[0]["test/targets"][FOURTH]
    if shift:
        added = shift * logit_margin(forget, targets).std(0).float()
        forget[:, torch.arange(len(targets)), targets] += added
    right = [(s["retain/logits"].argmax(-1) == s["retain/targets"]).double().mean() for s in stored]
    return of_logits(forget, targets, test, test_targets, torch.stack(right))
