"""Retrained models that are no yardstick are flagged, sound ones are not."""

import pytest
import torch

from unlearn.comparison.reference_flags import FAR_BELOW, NEAR_CHANCE, flags_of_retraining
from unlearn.storage.predictions import BySplit, Predictions

EXAMPLES, CLASSES = 1000, 10
TARGETS = torch.arange(EXAMPLES) % CLASSES


def predictions(correct: torch.Tensor, targets: torch.Tensor = TARGETS) -> Predictions:
    """Answers that are right where `correct`, else the next class."""
    answers = torch.where(correct, targets, (targets + 1) % CLASSES)
    logits = torch.nn.functional.one_hot(answers, CLASSES).float()
    return Predictions(logits, targets, torch.arange(len(targets)))


def classifier(accuracy: float, seed: int = 0) -> BySplit:
    """A model that answers a share of the test set right, other examples for every seed."""
    order = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(seed))
    return {"test": predictions(order < round(accuracy * EXAMPLES))}


def regressor(explained: float, seed: int = 0) -> BySplit:
    """A model whose squared error is `1 - explained` of the targets' variance."""
    generator = torch.Generator().manual_seed(99)
    targets = 40 + 10 * torch.randn(EXAMPLES, generator=generator)
    noise = torch.randn(EXAMPLES, generator=generator.manual_seed(seed))
    outputs = targets + noise * 10 * (1 - explained) ** 0.5
    return {"test": Predictions(outputs[:, None], targets, torch.arange(EXAMPLES))}


@pytest.mark.parametrize(
    ("original", "retrained", "flags"),
    [
        (0.95, 0.94, []),
        (0.50, 0.46, []),  # 90 % of the skill above one in ten
        (0.54, 0.42, [FAR_BELOW]),  # 73 %
        (0.45, 0.32, [FAR_BELOW]),
        (0.95, 0.10, [FAR_BELOW, NEAR_CHANCE]),
        (0.95, 0.05, [FAR_BELOW, NEAR_CHANCE]),
        (0.10, 0.10, [NEAR_CHANCE]),  # the original learned nothing either
        (0.20, 0.17, []),  # 70 %, but within the noise of 1,000 images
    ],
)
def test_classifiers(original: float, retrained: float, flags: list[str]) -> None:
    found = flags_of_retraining(classifier(retrained), [classifier(original, 1)], True)
    assert found == flags


@pytest.mark.parametrize(
    ("original", "retrained", "flags"),
    [
        (0.8, 0.75, []),
        (0.8, 0.4, [FAR_BELOW]),
        (0.8, 0.0, [FAR_BELOW, NEAR_CHANCE]),
        (0.8, -2.0, [FAR_BELOW, NEAR_CHANCE]),
    ],
)
def test_regressors(original: float, retrained: float, flags: list[str]) -> None:
    found = flags_of_retraining(regressor(retrained), [regressor(original, 1)], False)
    assert found == flags


def test_chance_is_the_largest_class() -> None:
    """Eight in ten of one class: answering it always is right so often and shows no skill."""
    targets = torch.where(TARGETS < 8, 0, TARGETS)
    always = {"test": predictions(targets == 0, targets)}
    good = {"test": predictions(torch.ones(EXAMPLES, dtype=torch.bool), targets)}
    assert flags_of_retraining(always, [good], True) == [FAR_BELOW, NEAR_CHANCE]


def test_a_forgotten_class_is_not_held_against_a_model() -> None:
    kept = TARGETS != 0
    everything = torch.ones(EXAMPLES, dtype=torch.bool)
    retrained = {
        "test": predictions(kept),
        "retain_test": predictions(everything[kept], TARGETS[kept]),
    }
    original = {
        "test": predictions(everything),
        "retain_test": predictions(everything[kept], TARGETS[kept]),
    }
    assert flags_of_retraining(retrained, [original], True) == []


def test_several_originals_are_averaged() -> None:
    originals = [classifier(0.9, 1), classifier(0.1, 2)]  # 0.5 together
    assert flags_of_retraining(classifier(0.46), originals, True) == []


def test_size_of_a_training_that_is_like_the_original() -> None:
    """Models of one accuracy, right on other examples: at most one in a hundred is flagged."""
    flagged = [
        bool(flags_of_retraining(classifier(0.3, 2 * s), [classifier(0.3, 2 * s + 1)], True))
        for s in range(300)
    ]
    assert sum(flagged) <= 3
