"""Epsilon from error rates and epsilon-hat: printed tables, closed forms, the authors' numbers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import det_curve
from support.compose import PUBLISHED_LOGITS

from unlearn.metrics.epsilon import (
    epsilon_hat,
    largest_epsilon,
    log_likelihood_ratios,
    median_epsilon,
    rates_to_epsilon,
)
from unlearn.metrics.forgetting import forgetting_quality

GOLDEN = PUBLISHED_LOGITS


def gaussian_epsilon(distance: float, delta: float) -> float:
    """Epsilon at which two unit Gaussians satisfy (epsilon, delta)-indistinguishability."""

    def excess(epsilon: float) -> float:
        a = norm.cdf(distance / 2 - epsilon / distance)
        b = math.exp(epsilon) * norm.cdf(-distance / 2 - epsilon / distance)
        return a - b - delta

    return brentq(excess, 0, 50)


@pytest.mark.parametrize(
    ("fpr", "fnr", "expected"),
    [
        (0.5, 0.5, (0.0, -0.020203, -0.105361)),
        (0.3, 0.3, (0.847298, 0.832909, 0.773190)),
        (0.25, 0.25, (1.098612, 1.085189, 1.029619)),
        (0.1, 0.2, (2.079442, 2.066863, 2.014903)),
        (0.1, 0.1, (2.197225, 2.186051, 2.140066)),
        (0.01, 0.01, (4.595120, 4.584967, 4.543295)),
        (0.9, 0.05, (0.693147, 0.587787, 0.0)),
    ],
)
def test_rates_to_epsilon_table(fpr, fnr, expected):
    rates = torch.tensor([fpr, fnr], dtype=torch.float64)
    got = [float(rates_to_epsilon(*rates, delta)) for delta in (0, 0.01, 0.05)]
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("models", "delta", "expected"),
    [(10, 0.01, 2.186051), (80, 0.01, 4.359270), (512, 0.01, 6.226300), (80, 0.05, 4.317488)],
)
def test_largest_finite_epsilon(models, delta, expected):
    rate = torch.tensor(1 / models, dtype=torch.float64)
    assert float(rates_to_epsilon(rate, rate, delta)) == pytest.approx(expected, abs=1e-6)


def test_rates_to_epsilon_special_cases_broadcast():
    rates = torch.tensor([0.0, 0.5, 1.0])
    got = rates_to_epsilon(rates[:, None], rates[None, :], 0.05)
    assert got[0, 0] == torch.inf
    assert got[0, 1:].isnan().all() and got[1:, 0].isnan().all()
    assert got[2, 2].isnan()
    always = torch.tensor(1.0)
    assert float(rates_to_epsilon(always, always, 0)) == -math.inf  # ln 0, which is defined


def test_a_delta_outside_its_range_is_named():
    rates = torch.tensor([0.5])
    with pytest.raises(ValueError, match=r"^delta:"):
        largest_epsilon(rates, rates, 1.0)


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [
        ((1, 2, 3, 4), (3.5, 4.5, 5, 6), {0.05: 1.029619, 0.0: 1.098612}),
        ((1, 2, 3), (4, 5, 6), {0.05: math.inf, 0.0: math.inf}),
        ((1, 2, 3, 4), (1, 2, 3, 4), {0.05: -0.068993, 0.0: 0.0}),
        ((1, 1, 2), (1, 2, 2), {0.05: 0.615186}),
    ],
)
def test_largest_epsilon_of_worked_curves(negative, positive, expected):
    above = torch.tensor(sorted({*negative, *positive})).double()[:, None]
    fpr = (torch.tensor(negative) >= above).double().mean(1)
    fnr = (torch.tensor(positive) < above).double().mean(1)
    for delta, value in expected.items():
        assert float(largest_epsilon(fpr, fnr, delta)) == pytest.approx(value, abs=1e-6)


def test_epsilon_hat_worked_chain():
    retrained = torch.tensor([0.0, 1, 2, 3])[:, None]
    unlearned = torch.tensor([2.0, 3, 4, 5])[:, None]
    on_retrained, on_unlearned = log_likelihood_ratios(retrained, unlearned, None)
    assert on_retrained[:, 0].tolist() == pytest.approx([-4, -2.4, -0.8, 0.8])
    assert on_unlearned[:, 0].tolist() == pytest.approx([-0.8, 0.8, 2.4, 4])
    assert float(epsilon_hat(retrained, unlearned, None)) == pytest.approx(1.029619, abs=1e-6)


def test_epsilon_hat_uses_the_hinge_margin_of_logits():
    logits = torch.tensor([[[2.0, 0, 0], [1, 3, 0]], [[1.0, 0, 0], [0, 3, 0]]])
    margins = torch.tensor([[2.0, -2.0], [1.0, -3.0]])
    shifted, labels = logits.flip(0) + torch.tensor([0.5, 0, 1]), torch.zeros(2, dtype=torch.long)
    shifted_margins = shifted[..., 0] - shifted[..., 1:].amax(-1)
    torch.testing.assert_close(
        epsilon_hat(logits, shifted, labels),
        epsilon_hat(margins, shifted_margins, None),
        equal_nan=True,
    )


def reference_epsilon_hat(retrained: np.ndarray, unlearned: np.ndarray, delta: float) -> float:
    """The definition one example at a time, on scikit-learn's detection-error curve."""
    parts = {}
    pooled = np.concatenate([retrained, unlearned])
    for name, h in (("r", retrained), ("u", unlearned)):
        parts[name] = norm.logpdf(pooled, h.mean(), max(h.std(), 1e-12))
    score = parts["u"] - parts["r"]
    kind = np.repeat([0, 1], [len(retrained), len(unlearned)])
    if np.median(np.exp(score[kind == 1])) < np.median(np.exp(score[kind == 0])):
        kind = 1 - kind
    fpr, fnr, _ = det_curve(kind, score)
    if ((fpr == 0) & (fnr == 0)).any():
        return math.inf
    keep = (fpr > 0) & (fnr > 0)
    if not keep.any():
        return math.nan
    with np.errstate(invalid="ignore"):
        terms = [
            np.log(1 - delta - fpr[keep] + 1e-8) - np.log(fnr[keep] + 1e-8),
            np.log(1 - delta - fnr[keep] + 1e-8) - np.log(fpr[keep] + 1e-8),
        ]
    return float(np.nanmax(terms))


@pytest.mark.parametrize("delta", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("models", [(4, 4), (11, 7)])
def test_epsilon_hat_against_the_definition(delta, models):
    generator = torch.Generator().manual_seed(3)
    # Quarters, so that equal values occur and ties of the curve are exercised.
    retrained, unlearned = (
        (torch.randn(m, 60, generator=generator, dtype=torch.float64) * 6).round() / 4
        for m in models
    )
    unlearned = unlearned + torch.linspace(0, 3, 60).mul(4).round().div(4)
    got = epsilon_hat(retrained, unlearned, None, delta)
    expected = [
        reference_epsilon_hat(retrained[:, i].numpy(), unlearned[:, i].numpy(), delta)
        for i in range(60)
    ]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)


# At these delta the best threshold has error rates above 1 %, which 50,000 models resolve.
@pytest.mark.parametrize(("distance", "delta"), [(1.0, 0.2), (2.0, 0.3)])
def test_epsilon_hat_converges_to_the_closed_form(distance, delta):
    truth = gaussian_epsilon(distance, delta)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for models in (50, 500, 50000):
        retrained, unlearned = (
            torch.randn(models, 10, generator=generator, dtype=torch.float64) for _ in range(2)
        )
        estimate = epsilon_hat(retrained, unlearned + distance, None, delta)
        errors.append(float((estimate - truth).abs().mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.06


def test_exact_approaches_the_epsilon_of_two_gaussians():
    truth = gaussian_epsilon(1.0, 0.3)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for models in (20, 100, 1000):
        retrained, unlearned = torch.randn(2, models, 8, generator=generator).double().unbind()
        result = forgetting_quality(retrained, unlearned + 1, None, "exact", delta=0.3)
        errors.append(float((result.epsilons - truth).abs().mean()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.1


def test_equal_populations_give_the_noise_floor():
    generator = torch.Generator().manual_seed(1)
    retrained, unlearned = torch.randn(2, 40, 500, generator=generator).unbind()
    # 0.88 is what 40 against 40 retrained CIFAR-10 models give at the same delta.
    assert median_epsilon(epsilon_hat(retrained, unlearned, None)) == pytest.approx(0.88, abs=0.12)


def test_constant_outputs_are_told_apart_perfectly():
    generator = torch.Generator().manual_seed(1)
    retrained = torch.randn(20, 30, 5, generator=generator)
    labels = torch.randint(5, (30,), generator=generator)
    assert (epsilon_hat(retrained, torch.ones(20, 30, 5), labels) == torch.inf).all()
    both = epsilon_hat(torch.ones(20, 30, 5), torch.ones(20, 30, 5), labels)
    assert both.isnan().all()


def test_median_epsilon_counts_infinity_and_ignores_nan():
    assert median_epsilon(torch.tensor([1.0, 3.0, math.nan])) == 2
    assert median_epsilon(torch.tensor([1.0, math.inf, math.inf])) == math.inf
    assert math.isnan(median_epsilon(torch.tensor([math.nan])))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"retrained": torch.zeros(4, 3, 2, 2)}, "retrained"),
        ({"retrained": torch.zeros(1, 3, 2)}, "retrained"),
        ({"unlearned": torch.zeros(1, 3, 2)}, "unlearned"),
        ({"unlearned": torch.zeros(4, 2, 2)}, "unlearned"),
        ({"unlearned": torch.full((4, 3, 2), math.nan)}, "unlearned"),
        ({"labels": torch.tensor([0, 1, 2])}, "labels"),
        ({"labels": torch.tensor([0, -1, 1])}, "labels"),
        ({"labels": torch.tensor([0, 1])}, "labels"),
        ({"labels": torch.tensor([0.0, 0.5, 1.0])}, "labels"),
        ({"labels": None}, "labels"),
        ({"delta": -0.1}, "delta"),
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
        epsilon_hat(**arguments)


@pytest.mark.skipif(not GOLDEN.exists(), reason="reference outputs are not beside the checkout")
@pytest.mark.parametrize(("method", "median"), [("finetune", 3.7377), ("pruning_complex", 2.1972)])
def test_epsilon_hat_equals_the_authors_values(method, median):
    data = np.load(GOLDEN)
    retrained, unlearned, labels = (
        torch.from_numpy(data[k]) for k in ("retrained_logits", f"{method}/logits", "labels")
    )
    got, expected = epsilon_hat(retrained, unlearned, labels), data[f"{method}/epsilon_hat"]
    assert (np.isinf(expected) == got.isinf().numpy()).all()
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got.numpy()[finite], expected[finite], atol=1e-6, rtol=0)
    assert median_epsilon(got) == pytest.approx(median, abs=1e-4)


@pytest.mark.skipif(not GOLDEN.exists(), reason="reference outputs are not beside the checkout")
@pytest.mark.parametrize(
    ("method", "medians", "infinite", "mean_of_finite"),
    [
        (None, (1.386, 1.281, 0.875, 0.486, 0.000, -0.611), 0, 0.937),
        ("finetune", (3.829, 3.811, 3.738, 3.638, 3.401, 1.832), 30, 3.590),
        ("pruning_complex", (2.565, 2.501, 2.197, 1.749, 0.788, -0.391), 0, 2.096),
    ],
)
def test_epsilon_hat_reproduces_the_published_rows(method, medians, infinite, mean_of_finite):
    data = np.load(GOLDEN)
    retrained, labels = (torch.from_numpy(data[k]) for k in ("retrained_logits", "labels"))
    if method is None:  # half of the retrained models against the other half
        retrained, unlearned = retrained[:40], retrained[40:]
    else:
        unlearned = torch.from_numpy(data[f"{method}/logits"])
    for delta, median in zip((0, 0.01, 0.05, 0.1, 0.2, 0.5), medians, strict=True):
        epsilons = epsilon_hat(retrained, unlearned, labels, delta)
        assert median_epsilon(epsilons) == pytest.approx(median, abs=6e-4)
        if delta == 0.05:
            assert int(epsilons.isinf().sum()) == infinite
            finite = epsilons[epsilons.isfinite()]
            assert float(finite.mean()) == pytest.approx(mean_of_finite, abs=6e-4)
