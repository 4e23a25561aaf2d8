"""Evaluations against known answers; their pure functions have tests of their own."""

import math
from dataclasses import replace

import pytest
import torch
from support.compose import compose_job, options

from unlearn.comparison.scoring import Resampling, population_numbers
from unlearn.data.task import Task
from unlearn.evals.average_gap import AverageGap
from unlearn.evals.base import Outputs
from unlearn.evals.divergence import Divergence
from unlearn.evals.epsilon_hat import EpsilonHat
from unlearn.evals.klom import KLoM
from unlearn.evals.mia_svc import MiaSvc
from unlearn.evals.nomus import NoMUS
from unlearn.evals.u_lira import ULiRA
from unlearn.evals.weight_distance import WeightDistance
from unlearn.programs.composing import evaluations_of, problem_of
from unlearn.storage.predictions import Population, Predictions


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return problem_of(compose_job("logger=none", home=tmp_path_factory.mktemp("data")))


def answers(problem, seed: int, margin: float = 3.0, **margins: float) -> dict[str, Predictions]:
    """Noisy logits whose true class stands out by `margin`, by another on some splits."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, split in problem.splits.items():
        logits = torch.randn(len(split), problem.task.num_outputs, generator=generator)
        logits[torch.arange(len(split)), split.targets] += margins.get(name, margin)
        found[name] = Predictions(logits, split.targets, split.index)
    return found


def bank(problem, first_seed: int, count: int = 16, **margins: float) -> Population:
    return Population.of(
        {str(s): answers(problem, first_seed + s, **margins) for s in range(count)}
    )


NET = torch.nn.Identity()


def test_equal_outputs_have_no_distance(problem):
    own = answers(problem, 0)
    outputs = Outputs(own, own, [own])
    numbers = Divergence().compute(outputs, problem, NET)
    assert all(numbers[f"{s}_agreement"] == 1 for s in ("retain", "forget", "test"))
    distances = [v for k, v in numbers.items() if "agreement" not in k]
    assert distances == pytest.approx([0] * len(distances), abs=1e-12)
    assert AverageGap().compute(outputs, problem, NET) == {"gap": 0}


def test_without_retrained_models_there_is_no_distance(problem):
    outputs = Outputs(answers(problem, 0), {}, [])
    for evaluation in (Divergence(), AverageGap()):
        assert all(math.isnan(v) for v in evaluation.compute(outputs, problem, NET).values())


def test_divergence_is_the_mean_over_retrained_models(problem):
    own, one, two = (answers(problem, s) for s in range(3))
    each = [Divergence().compute(Outputs(own, {}, [r]), problem, NET) for r in (one, two)]
    both = Divergence().compute(Outputs(own, {}, [one, two]), problem, NET)
    for key, value in both.items():
        assert value == pytest.approx((each[0][key] + each[1][key]) / 2)


def test_regression_has_a_difference_in_the_targets_unit(problem):
    class Years:
        task = Task("regression", 1, "l1", unit="years")
        splits = problem.splits

    own = {n: replace(p, logits=p.logits[:, :1]) for n, p in answers(problem, 0).items()}
    late = {n: replace(p, logits=p.logits + 2.5) for n, p in own.items()}
    numbers = Divergence().compute(Outputs(late, {}, [own]), Years(), NET)
    assert numbers == pytest.approx(dict.fromkeys(numbers, 2.5), abs=1e-5)
    described = Divergence().described(Years())
    assert set(described) == set(numbers)
    assert {q.unit for q in described.values()} == {"years"}


def test_svc_attack_sees_as_many_retain_as_test_examples(problem):
    own = answers(problem, 0)
    size = len(own["test"].targets)
    cut = {**own, "retain": own["retain"].sample(size)}
    assert len(cut["retain"].targets) == size < len(own["retain"].targets)
    assert torch.equal(cut["retain"].index, own["retain"].sample(size).index)
    whole, small = (MiaSvc().compute(Outputs(o, {}), problem, NET) for o in (own, cut))
    assert whole == small


def test_attacks_notice_that_the_forget_set_is_treated_like_training_data(problem):
    remembered = Outputs(answers(problem, 0, margin=3, retain=12, forget=12), {})
    forgotten = Outputs(answers(problem, 0, margin=3, retain=12, forget=3), {})
    numbers = [MiaSvc().compute(o, problem, NET)["confidence"] for o in (remembered, forgotten)]
    assert numbers[0] < 0.2 < 0.6 < numbers[1]


def test_nomus_prefers_people_nobody_has_seen(problem):
    own = answers(problem, 0, margin=3, forget=3)
    by_test = NoMUS().compute(Outputs(own, {}), problem, NET)
    odd = answers(problem, 1, margin=-20)["test"]
    by_unseen = NoMUS().compute(Outputs({**own, "unseen": odd}, {}), problem, NET)
    assert by_test["loss_attack"] < 0.65 < 0.95 < by_unseen["loss_attack"]


def test_weight_distance_of_a_known_step(problem):
    net = problem.fresh_network(0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.5)
    count = sum(p.numel() for p in net.parameters())
    outputs = Outputs({}, {}, original_state=before)
    numbers = WeightDistance().compute(outputs, problem, net)
    assert numbers["to_original"] == pytest.approx(0.5 * count**0.5, rel=1e-6)


@pytest.mark.parametrize("name", options("eval"))
def test_reduced_populations_give_the_same_numbers(name, problem):
    job = compose_job(f"eval={name}", "logger=none")
    one, other = bank(problem, 0), bank(problem, 50, forget=4)
    for key, evaluation in evaluations_of(job, problem).items():
        if not evaluation.min_models:
            continue
        whole = evaluation.compare(other, one, problem).values
        reduced = (evaluation.reduced(p, problem) for p in (other, one))
        again = evaluation.compare(*reduced, problem).values
        assert again == pytest.approx(dict(whole), rel=1e-9, nan_ok=True), key


@pytest.mark.parametrize(
    ("evaluation", "quantity"),
    [(EpsilonHat(), "median"), (ULiRA(), "accuracy"), (KLoM(), "mean")],
)
def test_what_remembers_is_told_from_what_never_saw(evaluation, quantity, problem):
    retrained, same, original = bank(problem, 0), bank(problem, 50), bank(problem, 99, forget=7)
    floor, far = (
        evaluation.compare(u, retrained, problem).values[quantity] for u in (same, original)
    )
    assert far > 1.5 * floor


def test_intervals_hold_the_value_and_say_what_was_resampled(problem):
    retrained, unlearned = bank(problem, 0), bank(problem, 50, forget=4)
    numbers, comparison = population_numbers(
        "u_lira",
        ULiRA(),
        unlearned,
        retrained,
        problem,
        Resampling(models=40, examples=200),
        ("row", "retrained"),
    )
    number = numbers["u_lira/accuracy"]
    assert number.n == 16 and number.draws.shape == (40,)
    assert number.over_models.over == "models" and number.over_examples.over == "examples"
    for interval in (number.over_models, number.over_examples):
        assert interval.low <= number.value <= interval.high and interval.low < interval.high
    share = numbers["u_lira/tpr_1_percent"]
    assert share.over_models.low >= 0 and share.over_models.high <= 1
    assert comparison.protocol == "held-out models"
