"""Warnings about models whose numbers may look good for a bad reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pdist

from unlearn.comparison.groups import Group
from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.pairs import compared
from unlearn.comparison.result import Number, Row
from unlearn.comparison.yardstick import Yardstick
from unlearn.evals.base import Quantity
from unlearn.metrics.bimodality import FEWEST_MODELS, bimodality, weakest_margins
from unlearn.metrics.coherence import FEWEST_MODELS as ENOUGH_FOR_COHERENCE
from unlearn.metrics.coherence import coherence
from unlearn.metrics.statistics import logit_margin, logit_scaled_confidence
from unlearn.storage.predictions import BySplit, Population

EQUALS_ORIGINAL = "equals the original"
COLLAPSED = "collapsed"
INCOHERENT = "forget answers do not fit the test answers"
# Shares of the way from the original to a retrained model, and of the retrained models' spread.
_UNMOVED, _FLAT = 0.01, 0.01
_COPIED = 0.1  # share of the smallest distance between two retrained models
# Retrained models' margins have longer tails than the normal ones of the test.
_CHANCE, _FAR_MORE = 1e-3, 4.0
_HARDLY = 0.25  # of what the other group of models moved
FALSE_ALARM = 0.01  # probability of calling one population of models two groups
UNDEFINED = 0.05  # share of examples without an epsilon above which a row is flagged


def flags_of_outputs(group: Group, yardstick: Yardstick) -> list[str]:
    """What is suspicious about the answers of a group's models.

    `equals the original`: on the forget and test sets a model moved by less than 1 % of the
    distance between original and retrained models: nothing was unlearned; where that holds for a
    part of the models, how many. `collapsed`: one class for every test image, or (regression)
    predictions that vary by less than 1 % of what the retrained model's do. Copies: forget outputs
    ten times closer to a retrained model's than any two retrained models' are. Two groups: the
    models differ more than one population does, as where a method did next to nothing to some.

    Args:
        group: models of a method.
        yardstick: original and retrained models, and the task.
    """
    if group.kind == "do-nothing":
        return []
    classification = yardstick.problem.task.is_classification
    retrained = [member.read() for member in yardstick.retrained]
    models, ways = len(group), []
    collapsed = 0
    for member in group.members:
        own = member.read()
        if not retrained:
            continue
        collapsed += _is_flat(own["test"].logits, retrained[0]["test"].logits, classification)
        if member.original_seed is not None:
            start = yardstick.original(member.original_seed).read()
            moved, way = (
                sum(_distance(a[n].logits, b[n].logits, classification) for n in ("forget", "test"))
                for a, b in ((own, start), (retrained[0], start))
            )
            ways.append(moved / way if way else 0.0)
    unmoved = sum(way <= _UNMOVED for way in ways)
    found = []
    if unmoved:
        found.append(
            EQUALS_ORIGINAL if unmoved == models else f"{unmoved} of {models} equal the original"
        )
    if collapsed > models / 2:
        found.append(COLLAPSED)
    copies = _copies([m.read() for m in group.members], retrained, classification)
    if copies:
        found.append(f"{copies} of {models} equal a retrained model")
    return found + ([] if 0 < unmoved < models else _two_groups(group, yardstick, ways))


def _copies(models: Sequence[BySplit], retrained: Sequence[BySplit], classification: bool) -> int:
    """Number of models that answer the forget set as one of the retrained models does."""
    if not retrained:
        return 0
    own, others = (
        torch.stack([answers["forget"].logits for answers in kind]).double()
        for kind in (models, retrained)
    )
    if classification:
        own, others = own.softmax(-1), others.softmax(-1)
    own, others = own.flatten(1), others.flatten(1)
    nearest = torch.cdist(own, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    apart = pdist(others).min().item() if len(others) > 1 else 0.0
    return int((nearest <= _COPIED * apart).sum())


def flags_of_coherence(row: Row, group: Group, yardstick: Yardstick) -> list[str]:
    """Whether forget answers follow the test answers as a retrained model's do.

    Answers put in place of a model's own have the right distribution on every forget example and do
    not vary with the rest of the model. Asked only where no number is told apart from retraining:
    a method that changes some of its models much more than others makes such answers too.
    """
    kinds = [[m.read() for m in models] for models in (yardstick.retrained, group.members)]
    alike = all(
        number.as_retrained is not False
        for key, number in row.numbers.items()
        if not key.startswith((MEMORY, SHIFT))
    )
    enough = min(map(len, kinds)) >= ENOUGH_FOR_COHERENCE
    classification = yardstick.problem.task.is_classification
    if group.kind == "do-nothing" or not (alike and enough and classification):
        return []
    margins = [
        torch.stack([logit_margin(*model[split].pair) for model in kind])
        for kind in kinds
        for split in ("forget", "test")
    ]
    found = coherence(*margins)
    return [INCOHERENT] if found.p_value <= _CHANCE and found.ratio >= _FAR_MORE else []


def _two_groups(group: Group, yardstick: Yardstick, ways: Sequence[float]) -> list[str]:
    """Whether the models are of two kinds: by how far each moved, with its original at hand, and by
    what each still knows of the forget set."""
    models = len(group)
    if models < FEWEST_MODELS:
        return []
    values = []
    if len(ways) == models:
        moved = torch.tensor(ways, dtype=torch.float64)
        upper = moved > bimodality(moved).boundary
        # Models may go different lengths of the way; those of the lower group hardly started.
        if upper.any() and moved[~upper].mean() <= _HARDLY * moved[upper].mean():
            values.append(moved)
    if yardstick.problem.task.is_classification:
        population = Population.of({str(i): m.read() for i, m in enumerate(group.members)})
        logits, targets = population.logits["forget"], population.targets["forget"]
        values.append(weakest_margins(logit_scaled_confidence(logits, targets)))
    for statistic in values:
        found = bimodality(statistic)
        if found.p_value <= FALSE_ALARM / len(values):
            return [f"two groups of models ({models - found.upper} and {found.upper})"]
    return []


def flags_of_numbers(row: Row, floor: Row, quantities: Mapping[str, Quantity]) -> list[str]:
    """What is suspicious about a row's numbers.

    Better than the noise floor: models that are what retraining gives cannot be closer to retrained
    models than these are to each other, but outputs that are constant, smoothed or copied can; the
    difference must be more than chance. Undefined: an epsilon that cannot be computed on more than
    5 % of the examples, where models do not vary at all.
    """
    found = []
    better = [
        quantities[key].label
        for key, number in row.numbers.items()
        if key in floor.numbers
        and _measures_distance(key, number)
        and badness(number.value, quantities[key])
        < badness(floor.numbers[key].value, quantities[key])
        and _told_apart(number, floor.numbers[key])
    ]
    if better:
        found.append(f"better than the noise floor: {', '.join(better)}")
    for name in ("epsilon_hat", "epsilon"):
        if name in row.examples:
            share = float(row.examples[name].isnan().double().mean())
            if share > UNDEFINED:
                found.append(f"{name} undefined on {share:.0%} of the examples")
    return found


def _told_apart(number: Number, floor: Number) -> bool:
    """Whether a number differs from the noise floor's by more than chance. A relabelling asks one
    way, for worse, so numbers that it marks are tested anew, at the flags' own probability."""
    if math.isnan(number.p_value):
        return number.as_retrained is False
    found = compared(number, floor, 1 - FALSE_ALARM)
    return found is not None and found.p_value <= FALSE_ALARM


def _measures_distance(key: str, number: Number) -> bool:
    """Whether the number says how far models are from retrained ones."""
    if number.mean is not None:
        return bool(len(number.mean.own) and len(number.mean.retrained))
    return not key.startswith((MEMORY, SHIFT))


def badness(value: float, quantity: Quantity) -> float:
    """How far a number is from what is best, lower is better.

    The AUC of an attack that is asked the wrong way round tells as much below its ideal as above;
    an accuracy does not, where nothing can be known it falls below by chance.
    """
    if quantity.better == "closer" and quantity.ideal is not None and quantity.unit != "%":
        return abs(value - quantity.ideal)
    return -value if quantity.better == "higher" else value


def _distance(first: Tensor, second: Tensor, classification: bool) -> float:
    if classification:
        first, second = first.double().softmax(1), second.double().softmax(1)
    return float((first - second).abs().sum(1).double().mean())


def _is_flat(outputs: Tensor, reference: Tensor, classification: bool) -> bool:
    if classification:
        seen = outputs.argmax(1).unique().numel()
        return seen == 1 and reference.argmax(1).unique().numel() > 1
    return bool(torch.std(outputs) < _FLAT * torch.std(reference))
