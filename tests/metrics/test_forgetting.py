"""Forgetting quality: worked numbers, simulated tables, collapsed methods, errors."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unlearn.metrics.forgetting import bucket_points, competition_score, forgetting_quality
from unlearn.metrics.logistic import fit_logistic
from unlearn.metrics.statistics import logit_scaled_confidence, top_class_loss


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def notebook(unlearned, retrained):
    return forgetting_quality(retrained, unlearned, None, "notebook", attacks=("threshold",))


@pytest.mark.parametrize(
    ("logits", "top", "scaled"),
    [
        ((2, 0, 0), 0.239545, 1.306853),
        ((0, 0, 0), 1.098612, -0.693147),
        ((1, 3, 0), 0.169846, -2.048587),
    ],
)
def test_statistics_worked_numbers(logits, top, scaled):
    logits, label = torch.tensor([logits], dtype=torch.float64), torch.tensor([0])
    assert float(top_class_loss(logits)) == pytest.approx(top, abs=1e-6)
    assert float(logit_scaled_confidence(logits, label)) == pytest.approx(scaled, abs=1e-6)


def test_notebook_worked_example_and_its_blind_direction():
    unlearned, retrained = column(3.5, 4.5, 5.5, 6.5, 7.5), column(1, 2, 3, 4, 5)
    seen = notebook(unlearned, retrained)
    assert float(seen.epsilons) == pytest.approx(1.373716, abs=1e-6)
    assert seen.score == 0.25
    blind = notebook(retrained, unlearned)
    assert float(blind.epsilons) == 0 and blind.score == 1


def test_notebook_shifted_grid():
    grid = torch.arange(1.0, 11.0, dtype=torch.float64)[:, None]
    assert float(notebook(grid, grid + 0.5).epsilons) == 0
    assert float(notebook(grid + 0.5, grid).epsilons) == pytest.approx(0.641854, abs=1e-6)


def test_notebook_rewards_a_collapse_that_competition_and_exact_punish():
    constant, spread = column(3, 3, 3, 3, 3), column(1, 2, 3, 4, 5)
    assert float(notebook(constant, spread).epsilons) == 0
    assert notebook(constant, spread).score == 1
    for protocol in ("competition", "exact"):
        result = forgetting_quality(spread, constant, None, protocol)
        assert float(result.epsilons) == 50 and result.score == 0


def test_notebook_separated_both_ways_is_infinite():
    high, low = column(10, 11, 12), column(1, 2, 3)
    for unlearned, retrained in ((high, low), (low, high)):
        result = notebook(unlearned, retrained)
        assert float(result.epsilons) == math.inf and result.score == 2.0**-12


def test_notebook_leaves_the_logistic_attack_out_below_six_models():
    small, large = torch.arange(15.0).reshape(5, 3), torch.arange(18.0).reshape(6, 3)
    assert forgetting_quality(small, small + 1, None, "notebook").attacks == ("threshold",)
    assert forgetting_quality(large, large + 1, None, "notebook").attacks == (
        "threshold",
        "logistic",
    )
    with pytest.raises(ValueError, match=r"^attacks:"):
        forgetting_quality(small, small, None, "notebook", attacks=("logistic",))


# Mean score by number of models and shift in standard deviations: one-sided, and two-sided at the
# first two shifts, where "two-sided" takes the larger epsilon of the two directions.
@pytest.mark.parametrize(
    ("models", "one_sided", "two_sided"),
    [
        (5, (0.573, 0.396, 0.160, 0.011), (0.317, 0.302)),
        (10, (0.494, 0.263, 0.070, 0.008), (0.260, 0.216)),
        (32, (0.459, 0.175, 0.020, 0.009), (0.278, 0.166)),
        (80, (0.537, 0.150, 0.009, 0.004), (0.310, 0.146)),
        (512, (0.881, 0.158, 0.0017, 0.0002), (0.795, 0.158)),
    ],
)
def test_notebook_score_of_shifted_normals_depends_on_the_number_of_models(
    models, one_sided, two_sided
):
    generator = torch.Generator().manual_seed(models)
    examples = 2000 if models == 512 else 8000
    retrained, unlearned = torch.randn(2, models, examples, generator=generator).unbind()
    for i, shift in enumerate((0.0, 0.5, 2.0, 4.0)):
        result = notebook(unlearned + shift, retrained)
        spread = 0.02 if one_sided[i] > 0.1 else 0.003
        assert result.score == pytest.approx(one_sided[i], abs=spread)
        if i < 2:
            mirrored = notebook(-unlearned - shift, -retrained)
            both = torch.minimum(result.points, mirrored.points).mean()
            assert float(both) == pytest.approx(two_sided[i], abs=0.02)


def test_logistic_fit_agrees_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    target = torch.tensor([0.0] * 12 + [1.0] * 12, dtype=torch.float64)
    scale = torch.logspace(-2, 2, 9, dtype=torch.float64)[:, None]
    values = scale * (torch.randn(9, 24, generator=generator).double() + target + 3)
    slope, intercept = fit_logistic(values, target)
    for i in range(9):
        model = LogisticRegression(tol=1e-12, max_iter=100000).fit(values[i][:, None], target)
        assert float(slope[i]) == pytest.approx(float(model.coef_[0, 0]), rel=1e-3, abs=1e-5)
        assert float(intercept[i]) == pytest.approx(float(model.intercept_[0]), rel=2e-3, abs=2e-3)


def test_logistic_attack_sees_what_the_threshold_cannot():
    generator = torch.Generator().manual_seed(0)
    retrained = torch.randn(40, 20, generator=generator).double()
    shifted = retrained.flip(0) - 2
    alone = forgetting_quality(retrained, shifted, None, "notebook", attacks=("threshold",))
    both = forgetting_quality(retrained, shifted, None, "notebook")
    assert float(alone.epsilons.max()) < 0.2
    assert float(both.epsilons.median()) > 0.5


def test_simulated_retrained_is_labelled_seeded_and_refused_elsewhere():
    generator = torch.Generator().manual_seed(0)
    one, unlearned = torch.randn(13, 60, 4, generator=generator).split([1, 12])
    labels = torch.zeros(60, dtype=torch.long)

    def run(seed):
        return forgetting_quality(
            one, unlearned, labels, "notebook", simulated_retrained=True, seed=seed
        )

    assert run(0).simulated_retrained and run(0).num_models == 12
    assert torch.equal(run(0).epsilons, run(0).epsilons)
    assert not torch.equal(run(0).epsilons, run(1).epsilons)
    with pytest.raises(ValueError, match=r"^simulated_retrained:"):
        forgetting_quality(one, unlearned, labels, simulated_retrained=True)


@pytest.mark.parametrize(
    ("models", "epsilon", "points"),
    [
        (512, 0, 1),
        (512, 0.49, 1),
        (512, 0.5, 0.5),
        (512, 1.2, 0.25),
        (512, 2.9, 0.03125),
        (512, 3.0, 0.015625),
        (512, 6.99, 2.0**-13),
        (512, 7.0, 0),
        (512, 50, 0),
        (512, math.nan, 0),
        (10, 2.99, 2.0**-5),
        (10, 3.0, 0),
        (80, 4.99, 2.0**-9),
        (80, 5.0, 0),
        (2, 0, 0),
    ],
)
def test_bucket_points(models, epsilon, points):
    assert float(bucket_points(torch.tensor([epsilon], dtype=torch.float64), models)) == points


def test_equal_constants_prove_nothing_and_earn_nothing():
    for protocol in ("competition", "exact"):
        result = forgetting_quality(torch.ones(6, 2), torch.ones(6, 2), None, protocol)
        assert result.epsilons.isnan().all() and result.score == 0


def test_competition_score_multiplies_the_ratios():
    assert competition_score(0.1, torch.tensor([0.8, 1.0]), 0.75, 0.6, 0.5) == pytest.approx(
        0.1 * 1.2 * 1.2
    )
    with pytest.raises(ValueError, match=r"^test_accuracy_retrained:"):
        competition_score(0.1, 0.9, 0.9, 0.9, 0.0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"protocol": "official"}, "protocol"),
        ({"attacks": ("tree",)}, "attacks"),
        ({"unlearned": torch.zeros(5, 3, 2)}, "unlearned"),
        ({"unlearned": torch.full((4, 3, 2), math.inf)}, "unlearned"),
        ({"labels": torch.tensor([0, 1, 2])}, "labels"),
        ({"delta": 1.0}, "delta"),
    ],
)
def test_errors_name_the_argument(change, name):
    arguments = {
        "retrained": torch.zeros(4, 3, 2),
        "unlearned": torch.zeros(4, 3, 2),
        "labels": torch.tensor([0, 1, 1]),
        **change,
    }
    with pytest.raises(ValueError, match=rf"^{name}:"):
        forgetting_quality(**arguments)
