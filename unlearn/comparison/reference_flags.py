"""Warnings about what models are measured by: retrained models and control models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from unlearn.comparison.groups import Group, Member
from unlearn.comparison.yardstick import Yardstick
from unlearn.metrics.means import mean_difference, mean_of_runs
from unlearn.storage.predictions import BySplit, Predictions

FAR_BELOW = "far below the original on test"
NEAR_CHANCE = "near chance on test"
ORIGINALS = 8  # original models that retrained ones are held against
# Share of the original's skill that a retrained model keeps at least, and the standard errors of
# the test set that a difference must exceed.
_KEPT, _CERTAIN = 0.75, 3.0
APART = 0.01  # of test accuracy, less is of no consequence
FALSE_ALARM = 0.01  # probability of calling control runs different that are not


def flags_of_retraining(
    retrained: BySplit, originals: Sequence[BySplit], classification: bool
) -> list[str]:
    """What is suspicious about a retrained model, against which everything else is measured.

    Skill is what a model gains on test over the best constant answer: over the share of the largest
    class, or (regression) over the squared error of the mean target. `near chance`: the skill does
    not exceed three standard errors, so a constant answer explains it. `far below the original`:
    the model keeps less than three quarters of the original's skill, and the difference on the same
    examples exceeds three standard errors.

    Test examples of a forgotten class, which a retrained model cannot know, are left out.

    Args:
        retrained: predictions of the model by split.
        originals: predictions of at least one original model.
        classification: the task type.

    Returns:
        `FAR_BELOW`, `NEAR_CHANCE`, both or none.
    """
    split = "retain_test" if "retain_test" in retrained else "test"
    if len(retrained[split].targets) < 2:
        return []
    own = _gain(retrained[split], classification)
    theirs = torch.stack([_gain(o[split], classification) for o in originals]).mean(0)
    lost = theirs - own
    found = []
    if own.mean() < _KEPT * theirs.mean() and _certain(lost):
        found.append(FAR_BELOW)
    if not _certain(own):
        found.append(NEAR_CHANCE)
    return found


def flags_of_bank(
    retrained: Sequence[Member], original_seeds: Iterable[int], yardstick: Yardstick
) -> tuple[str, ...]:
    """What is suspicious about the retrained models: `flags_of_retraining`, and of how many.

    Args:
        retrained: the bank.
        original_seeds: of the original models that retraining is held against, the first eight.
        yardstick: looks up original models.
    """
    seeds = sorted(set(original_seeds))[:ORIGINALS]
    originals = [yardstick.original(seed).read() for seed in seeds]
    if not originals:
        return ()
    classification = yardstick.problem.task.is_classification
    counted = Counter(
        flag
        for member in retrained
        for flag in flags_of_retraining(member.read(), originals, classification)
    )
    return tuple(f"{count} of {len(retrained)}: {flag}" for flag, count in counted.items())


def _gain(predictions: Predictions, classification: bool) -> Tensor:
    """By how much each example `(N,)` is answered better than by the best constant answer."""
    targets = predictions.targets
    if classification:
        usual = targets.bincount().argmax()
        right = predictions.logits.argmax(1) == targets
        return right.double() - (targets == usual).double()
    squared = (predictions.logits.squeeze(1).double() - targets.double()).square()
    return (targets.double() - targets.double().mean()).square() - squared


def _certain(differences: Tensor) -> bool:
    """Whether the mean of `(N,)` lies above zero by more than its standard errors allow."""
    error = differences.std() / math.sqrt(len(differences))
    return bool(differences.mean() > _CERTAIN * error)


def flags_of_control(group: Group, control: Group, classification: bool) -> list[str]:
    """Whether control runs ended as the runs did: a method that spoils models that never saw the
    forget set, and not the others, is told apart for that and not for what it remembers.

    Args:
        group: models of a method.
        control: its control models.
        classification: the task type.
    """
    if not classification:
        return []
    right = [
        [float((m.read()["test"].logits.argmax(1) == m.read()["test"].targets).double().mean())
         for m in models.members]
        for models in (group, control)
    ]  # fmt: skip
    own, theirs = (
        mean_of_runs(values, [(kind, i) for i in range(len(values))])
        for kind, values in zip("rc", right, strict=True)
    )
    found = mean_difference(own, theirs)
    if not found.p_value <= FALSE_ALARM or abs(found.value) < APART:
        return []
    side = "below" if found.value > 0 else "above"
    return [f"control models {100 * abs(found.value):.1f} points {side} it on test"]
