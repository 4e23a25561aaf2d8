"""Divergences, weight distances, retention and run time: closed forms and the authors' numbers."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from support.compose import REFERENCE

from unlearn.metrics.average_gap import (
    average_gap,
)
from unlearn.metrics.divergence import (
    activation_distance,
    js,
    kl,
    prediction_agreement,
    weight_distance,
    weight_distance_per_layer,
    zrf,
)

GOLDEN = REFERENCE / "methods.npz"
COMPARISONS = (kl, js, zrf, activation_distance, prediction_agreement)


def logits(seed, count=30, classes=6):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(count, classes, generator=generator, dtype=torch.float64)


def test_divergences_against_scipy():
    p_logits, q_logits = logits(0), logits(1)
    p, q = p_logits.softmax(1).numpy(), q_logits.softmax(1).numpy()
    assert kl(p_logits, q_logits) == pytest.approx(entropy(p, q, axis=1).mean())
    expected = (jensenshannon(p, q, axis=1) ** 2).mean()
    assert js(p_logits, q_logits) == pytest.approx(expected)
    assert zrf(p_logits, q_logits) == pytest.approx(1 - expected)
    distance = np.linalg.norm(p - q, axis=1).mean()
    assert activation_distance(p_logits, q_logits) == pytest.approx(distance)
    agreement = (p.argmax(1) == q.argmax(1)).mean()
    assert prediction_agreement(p_logits, q_logits) == pytest.approx(agreement)


def test_divergences_at_their_ends():
    same, left, right = logits(0), torch.tensor([[900.0, 0]]), torch.tensor([[0, 900.0]])
    assert [f(same, same) for f in (kl, js, activation_distance)] == pytest.approx([0, 0, 0])
    assert [f(same, same) for f in (zrf, prediction_agreement)] == pytest.approx([1, 1])
    assert js(left, right) == pytest.approx(math.log(2))
    assert zrf(left, right) == pytest.approx(1 - math.log(2))
    assert activation_distance(left, right) == pytest.approx(math.sqrt(2))
    assert prediction_agreement(left, right) == 0


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_refuse_wrong_input(comparison):
    names = comparison.__code__.co_varnames[:2]
    with pytest.raises(ValueError, match=rf"^{names[0]}:"):
        comparison(torch.full((2, 3), math.nan), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=rf"^{names[0]}:"):
        comparison(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=rf"^{names[1]}:"):
        comparison(torch.zeros(2, 3), torch.zeros(2, 4))


def test_weight_distance_whole_and_per_layer():
    first = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).state_dict()
    second = {name: tensor.clone() for name, tensor in first.items()}
    second["0.weight"][0, 0] += 3
    second["0.bias"][1] -= 4
    second["1.running_mean"] += 1
    second["1.num_batches_tracked"] += 7
    layers = weight_distance_per_layer(first, second)
    assert layers == {"0": pytest.approx(5), "1": pytest.approx(math.sqrt(2))}
    assert weight_distance(first, second) == pytest.approx(math.sqrt(27))
    assert weight_distance(first, first) == 0


def test_weight_distance_refuses_different_models():
    with pytest.raises(ValueError, match=r"^second:"):
        weight_distance({"a": torch.zeros(2)}, {"b": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"^second:"):
        weight_distance({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"^first:"):
        weight_distance({"a": torch.zeros(2).long()}, {"a": torch.zeros(2).long()})


def test_average_gap():
    retrained = [5.24, 100.0, 94.26, 12.88]
    methods = torch.tensor([[0.63, 99.88, 94.06, 2.70], [2.85, 99.62, 93.93, 14.39]])
    by_hand = [(4.61 + 0.12 + 0.20 + 10.18) / 4, (2.39 + 0.38 + 0.33 + 1.51) / 4]
    assert average_gap(methods, retrained).tolist() == pytest.approx(by_hand, abs=1e-4)
    with pytest.raises(ValueError, match=r"^unlearned:"):
        average_gap([1.0, 2.0, 3.0], retrained)


@pytest.mark.skipif(not GOLDEN.exists(), reason="reference outputs are not beside the checkout")
def test_zrf_and_activation_distance_equal_the_authors_values():
    data = np.load(GOLDEN)
    unlearned, original, teacher = (
        torch.from_numpy(data[f"metric/logits_{name}_forget"])
        for name in ("unlearned", "original", "bad_teacher")
    )
    assert zrf(unlearned, teacher, legacy=True) == pytest.approx(
        float(data["metric/zrf_js_score"]), abs=1e-12
    )
    assert activation_distance(unlearned, original) == pytest.approx(
        float(data["metric/activation_distance"]), abs=1e-12
    )
