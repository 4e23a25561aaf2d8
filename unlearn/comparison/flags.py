"""Warnings about models whose numbers may look good for a bad reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unlearn.comparison.groups import Group
from unlearn.storage.predictions import BySplit

EQUALS_ORIGINAL = "equals the original"
COLLAPSED = "collapsed"
# Shares of the way from the original to a retrained model, and of the retrained models' spread.
_UNMOVED, _FLAT = 0.01, 0.01


def flags_of(
    group: Group,
    originals: Mapping[int, BySplit],
    retrained: Sequence[BySplit],
    classification: bool,
) -> list[str]:
    """What is suspicious about most models of a group.

    `equals the original`: on the forget and test sets the predictions moved by less than 1 % of the
    distance between original and retrained model: nothing was unlearned. `collapsed`: one class
    for every test image, or (regression) predictions that vary by less than 1 % of what the
    retrained model's do.

    Args:
        group: models of a method.
        originals: predictions of the original models that the group started from, by seed.
        retrained: predictions of at least one retrained model.
        classification: the task type.
    """
    unmoved = collapsed = 0
    for member in group.members:
        own = member.read()
        start = originals[member.original_seed]  # type: ignore[index]
        moved, way = (
            sum(_distance(a[n].logits, b[n].logits, classification) for n in ("forget", "test"))
            for a, b in ((own, start), (retrained[0], start))
        )
        unmoved += moved <= _UNMOVED * way
        collapsed += _is_flat(own["test"].logits, retrained[0]["test"].logits, classification)
    half = len(group) / 2
    return [EQUALS_ORIGINAL] * (unmoved > half) + [COLLAPSED] * (collapsed > half)


def _distance(first: Tensor, second: Tensor, classification: bool) -> float:
    if classification:
        first, second = first.double().softmax(1), second.double().softmax(1)
    return float((first - second).abs().sum(1).double().mean())


def _is_flat(outputs: Tensor, reference: Tensor, classification: bool) -> bool:
    if classification:
        seen = outputs.argmax(1).unique().numel()
        return seen == 1 and reference.argmax(1).unique().numel() > 1
    return bool(torch.std(outputs) < _FLAT * torch.std(reference))
