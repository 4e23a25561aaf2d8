"""What makes a row suspicious."""

import math
from dataclasses import replace

import pytest
import torch
from support.compose import compose_job

from unlearn.comparison.flags import COLLAPSED, EQUALS_ORIGINAL, flags_of_numbers, flags_of_outputs
from unlearn.comparison.groups import Group, Member
from unlearn.comparison.reference_flags import flags_of_control
from unlearn.comparison.result import Number, Row
from unlearn.comparison.yardstick import Yardstick
from unlearn.evals.base import Quantity
from unlearn.programs.composing import problem_of
from unlearn.storage.predictions import Predictions


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return problem_of(compose_job("logger=none", home=tmp_path_factory.mktemp("data")))


def answers(problem, seed: int, margin: float = 3.0, forget: float = 3.0) -> dict[str, Predictions]:
    """Noisy logits whose true class stands out by `margin`, by `forget` on the forget set."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, split in problem.splits.items():
        logits = torch.randn(len(split), problem.task.num_outputs, generator=generator)
        logits[torch.arange(len(split)), split.targets] += forget if name == "forget" else margin
        found[name] = Predictions(logits, split.targets, split.index)
    return found


def member(outputs, seed: int) -> Member:
    return Member(seed, 0, {}, lambda: outputs, None, str(seed), {}, {})


def yardstick(problem, original, retrained) -> Yardstick:
    models = [member(outputs, 100 + i) for i, outputs in enumerate(retrained)]
    return Yardstick(problem, {}, {}, models, lambda seed: member(original, seed))


def group(members) -> Group:
    return Group("a", "method", tuple(members), "one", {}, "")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("nothing", [EQUALS_ORIGINAL]),
        ("a hair", [EQUALS_ORIGINAL]),
        ("retrained", []),
        ("constant", [COLLAPSED]),
    ],
)
def test_most_models_did_nothing_or_collapsed(change, expected, problem):
    original, retrained = answers(problem, 0, forget=9), answers(problem, 1)
    changed = {
        "nothing": original,
        "a hair": {n: replace(p, logits=p.logits + 1e-4) for n, p in original.items()},
        "retrained": answers(problem, 2),
        "constant": {
            n: replace(p, logits=torch.eye(10)[torch.zeros(len(p.targets), dtype=torch.long)])
            for n, p in original.items()
        },
    }[change]
    measured = yardstick(problem, original, [retrained])
    models = group(member(changed, seed) for seed in range(3))
    assert flags_of_outputs(models, measured) == expected


def test_copies_of_retrained_models_are_counted(problem):
    bank = [answers(problem, seed) for seed in range(1, 4)]
    measured = yardstick(problem, answers(problem, 0, forget=9), bank)
    models = group([member(bank[1], 0), member(answers(problem, 7), 1)])
    assert flags_of_outputs(models, measured) == ["1 of 2 equal a retrained model"]


def test_copies_with_a_little_noise_are_copies(problem):
    bank = [answers(problem, seed) for seed in range(1, 5)]
    measured = yardstick(problem, answers(problem, 0, forget=9), bank)
    noisy = {n: replace(p, logits=p.logits + 0.01 * p.logits.cos()) for n, p in bank[2].items()}
    models = group([member(noisy, 0), member(answers(problem, 7), 1)])
    assert flags_of_outputs(models, measured) == ["1 of 2 equal a retrained model"]


def test_models_that_did_nothing_are_counted(problem):
    original = answers(problem, 0, forget=9)
    measured = yardstick(problem, original, [answers(problem, seed) for seed in (1, 2)])
    models = group([member(answers(problem, 7), 0), member(original, 1), member(original, 2)])
    assert flags_of_outputs(models, measured) == ["2 of 3 equal the original"]


def test_models_that_did_next_to_nothing_are_two_groups(problem):
    """A tenth of the way and the whole way, with the same margins on the forget set."""
    original = answers(problem, 0)
    measured = yardstick(problem, original, [answers(problem, seed) for seed in (1, 2)])

    def moved(seed: int, share: float) -> Member:
        goal = answers(problem, seed)
        logits = {n: torch.lerp(original[n].logits, goal[n].logits, share) for n in goal}
        return member({n: replace(p, logits=logits[n]) for n, p in goal.items()}, seed)

    whole = [moved(seed, 0.9 + seed / 1000) for seed in range(20, 28)]
    barely = [moved(seed, 0.08 + seed / 1000) for seed in range(30, 38)]
    assert flags_of_outputs(group(whole), measured) == []
    assert flags_of_outputs(group([*whole, *barely]), measured) == [
        "two groups of models (8 and 8)"
    ]


def test_models_of_two_kinds_are_named(problem):
    measured = yardstick(problem, answers(problem, 99, forget=9), [answers(problem, 98)])
    forgetful = [member(answers(problem, seed), seed) for seed in range(8)]
    lazy = [member(answers(problem, 50 + seed, forget=6), 50 + seed) for seed in range(8)]
    assert flags_of_outputs(group(forgetful), measured) == []
    assert flags_of_outputs(group([*forgetful, *lazy]), measured) == [
        "two groups of models (8 and 8)"
    ]


QUANTITIES = {
    "u_lira/accuracy": Quantity("U-LiRA", "closer", 0.5, "%", headline=True),
    "forgetting_quality/score": Quantity("forgetting quality", "higher", headline=True),
    "accuracy/test": Quantity("test", "higher", unit="%", headline=True),
}


def row(**values: tuple[float, bool | None]) -> Row:
    numbers = {
        key.replace("__", "/"): Number(value, n=8, as_retrained=alike)
        for key, (value, alike) in values.items()
    }
    return Row("a", "method", "each", numbers, [])


def test_better_than_retrained_models_are_to_each_other_is_no_forgetting():
    floor = row(u_lira__accuracy=(0.5, None), forgetting_quality__score=(0.2, None))
    copied = row(u_lira__accuracy=(0.31, False), forgetting_quality__score=(1.0, False))
    assert flags_of_numbers(copied, floor, QUANTITIES) == [
        "better than the noise floor: U-LiRA, forgetting quality"
    ]
    chance = row(u_lira__accuracy=(0.49, True), forgetting_quality__score=(0.21, True))
    worse = row(u_lira__accuracy=(0.7, False), forgetting_quality__score=(0.1, False))
    assert flags_of_numbers(chance, floor, QUANTITIES) == []
    assert flags_of_numbers(worse, floor, QUANTITIES) == []


def test_an_attack_asked_the_wrong_way_round_tells_as_much():
    key = "rmia/auc"
    quantities = {key: Quantity("RMIA AUC", "closer", 0.5, headline=True)}
    floor = row(rmia__auc=(0.6, None))
    assert flags_of_numbers(row(rmia__auc=(0.1, False)), floor, quantities) == []
    assert flags_of_numbers(row(rmia__auc=(0.51, False)), floor, quantities) == [
        "better than the noise floor: RMIA AUC"
    ]


def test_an_epsilon_that_cannot_be_computed_is_no_small_one():
    examples = torch.tensor([math.nan] * 6 + [1.0] * 94)
    found = flags_of_numbers(replace(row(), examples={"epsilon_hat": examples}), row(), QUANTITIES)
    assert found == ["epsilon_hat undefined on 6% of the examples"]
    few = replace(row(), examples={"epsilon_hat": torch.cat([examples[1:2], examples[10:]])})
    assert flags_of_numbers(few, row(), QUANTITIES) == []


def test_control_runs_that_were_spoilt_are_named(problem):
    runs = group(member(answers(problem, seed), seed) for seed in range(6))
    alike = group(member(answers(problem, 20 + seed), seed) for seed in range(6))
    spoilt = group(member(answers(problem, 40 + seed, margin=1.0), seed) for seed in range(6))
    assert flags_of_control(runs, alike, True) == []
    [flag] = flags_of_control(runs, spoilt, True)
    assert flag.startswith("control models ") and flag.endswith("points below it on test")
