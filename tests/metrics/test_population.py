"""Population attacks and distances: loops, unbiasedness, closed forms, the authors' numbers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve
from support.compose import PUBLISHED_LOGITS

from unlearn.metrics.population import (
    klom,
    rmia,
    u_lira,
)
from unlearn.metrics.roc import auc, best_accuracy, tpr_at_fpr
from unlearn.metrics.tug_of_war import tug_of_war

GOLDEN = PUBLISHED_LOGITS


def populations(models=(12, 9), examples=20, classes=4, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    retrained, unlearned = (
        torch.randn(m, examples, classes, generator=generator, dtype=torch.float64) for m in models
    )
    labels = torch.randint(classes, (examples,), generator=generator)
    unlearned[:, torch.arange(examples), labels] += shift
    return retrained, unlearned, labels


def test_roc_against_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    positive, negative = (
        torch.randint(0, 40, (n,), generator=generator).double() for n in (300, 500)
    )
    kind, score = np.repeat([1, 0], [300, 500]), torch.cat([positive + 2, negative]).numpy()
    assert float(auc(positive + 2, negative)) == pytest.approx(roc_auc_score(kind, score))
    fpr, tpr, _ = roc_curve(kind, score, drop_intermediate=False)
    for level in (0.0, 0.001, 0.01, 0.1):
        expected = tpr[fpr <= level + 1e-12].max()
        assert float(tpr_at_fpr(positive + 2, negative, level)) == pytest.approx(expected)
    expected = 0.5 + np.abs(tpr - fpr).max() / 2
    assert float(best_accuracy(positive + 2, negative)) == pytest.approx(expected)


def reference_klom(retrained: np.ndarray, unlearned: np.ndarray) -> float:
    p, q = np.clip(unlearned, -100, 100), np.clip(retrained, -100, 100)
    edges = np.linspace(min(p.min(), q.min()), max(p.max(), q.max()), 21)
    p, q = (np.array([((x >= a) & (x < b)).sum() for a, b in pairwise(edges)]) for x in (p, q))
    p, q = p / p.sum(), q / q.sum()
    q = np.where(p > 0, np.maximum(q, 1e-5), q)
    return float(stats.entropy(p, q))


def test_klom_against_a_loop_and_its_clip():
    retrained, unlearned, labels = populations(shift=1.0)
    unlearned[:4, :3] *= 200
    got = klom(retrained, unlearned, labels)
    other = torch.nn.functional.one_hot(labels, 4).bool()
    for i in range(20):
        margins = [
            (z[:, i, labels[i]] - z[:, i][:, ~other[i]].logsumexp(-1)).numpy()
            for z in (retrained, unlearned)
        ]
        assert float(got[i]) == pytest.approx(reference_klom(*margins), abs=1e-9)


def test_klom_is_zero_for_the_same_and_large_for_constant_outputs():
    retrained, unlearned, labels = populations(models=(200, 200))
    assert klom(retrained, retrained, labels).abs().max() < 1e-12
    floor = klom(retrained, unlearned, labels)
    constant = klom(retrained, torch.zeros_like(retrained), labels)
    assert constant.min() > 1.5 and constant.mean() > 3 * floor.mean()
    # Above every retrained model, the top edge of the last bin: not a division of zero by zero.
    assert klom(retrained[..., 0], torch.full((40, 20), 9.0), None).min() > 10


def test_u_lira_scores_come_from_fits_without_the_scored_model():
    retrained, unlearned, labels = populations(models=(6, 5), examples=3, shift=1.0)
    result = u_lira(retrained, unlearned, labels)
    phi = []
    for z in (retrained, unlearned):
        p = z.softmax(-1)[:, torch.arange(3), labels]
        phi.append((p / (1 - p)).log().numpy())
    for e in range(3):
        for i in range(5):
            u, r = np.delete(phi[1][:, e], i), np.delete(phi[0][:, e], i % 6)
            x = phi[1][i, e]
            expected = stats.norm.logpdf(x, u.mean(), u.std()) - stats.norm.logpdf(
                x, r.mean(), r.std()
            )
            assert float(result.unlearned_scores[i, e]) == pytest.approx(expected)
        for j in range(6):
            u, r = np.delete(phi[1][:, e], j % 5), np.delete(phi[0][:, e], j)
            x = phi[0][j, e]
            expected = stats.norm.logpdf(x, u.mean(), u.std()) - stats.norm.logpdf(
                x, r.mean(), r.std()
            )
            assert float(result.retrained_scores[j, e]) == pytest.approx(expected)
    called = (result.unlearned_scores > 0).double().mean(0), (result.retrained_scores <= 0).double()
    torch.testing.assert_close(result.per_example, (called[0] + called[1].mean(0)) / 2)
    assert result.accuracy == pytest.approx(float(result.per_example.mean()))


@pytest.mark.parametrize("models", [8, 32])
def test_u_lira_is_unbiased_for_equal_populations(models):
    generator = torch.Generator().manual_seed(5)
    retrained, unlearned = torch.randn(2, models, 20000, generator=generator).unbind()
    result = u_lira(retrained, unlearned, None)
    assert result.accuracy == pytest.approx(0.5, abs=0.005)
    assert result.auc == pytest.approx(0.5, abs=0.005)
    assert result.tpr_at_1_percent_fpr == pytest.approx(0.01, abs=0.003)
    assert result.tpr_at_0_1_percent_fpr == pytest.approx(0.001, abs=0.001)


def test_u_lira_reaches_the_best_possible_accuracy_for_gaussians():
    generator = torch.Generator().manual_seed(5)
    retrained, unlearned = torch.randn(2, 400, 500, generator=generator).unbind()
    result = u_lira(retrained, unlearned + 2, None)
    assert result.accuracy == pytest.approx(stats.norm.cdf(1), abs=0.004)


def reference_rmia(retrained, unlearned, labels, retrained_z, unlearned_z, labels_z, gamma):
    def probabilities(logits, labels):
        return logits.softmax(-1)[:, torch.arange(len(labels)), labels].numpy()

    on_x = [probabilities(p, labels) for p in (unlearned, retrained)]
    on_z = [probabilities(p, labels_z) for p in (unlearned_z, retrained_z)]
    scores = []
    for kind in (0, 1):
        rows = []
        for i in range(len(on_x[kind])):
            ratio = []
            for values in (on_x, on_z):
                references = [np.delete(v, i % len(v), axis=0).mean(0) for v in values]
                ratio.append(values[kind][i] / np.mean(references, axis=0))
            rows.append([(x / ratio[1] >= gamma).mean() for x in ratio[0]])
        scores.append(np.array(rows))
    return scores


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_against_a_loop(gamma):
    on_x = populations(models=(5, 4), examples=6, shift=1.0)
    on_z = populations(models=(5, 4), examples=11, seed=1)
    result = rmia(*on_x, *on_z, gamma=gamma)
    unlearned, retrained = reference_rmia(*on_x, *on_z, gamma)
    np.testing.assert_allclose(result.unlearned_scores.numpy(), unlearned)
    np.testing.assert_allclose(result.retrained_scores.numpy(), retrained)
    kind = np.repeat([1, 0], [unlearned.size, retrained.size])
    scores = np.concatenate([unlearned.ravel(), retrained.ravel()])
    assert result.auc == pytest.approx(roc_auc_score(kind, scores))


def test_rmia_direction_and_equal_populations():
    on_z = populations(models=(32, 32), examples=200, seed=1)
    remembered = rmia(*populations(models=(32, 32), examples=50, shift=1.0), *on_z)
    equal = rmia(*populations(models=(32, 32), examples=50), *on_z)
    overshot = rmia(*populations(models=(32, 32), examples=50, shift=-1.0), *on_z)
    assert overshot.auc < 0.45 < equal.auc < 0.55 < remembered.auc
    assert min(overshot.accuracy, remembered.accuracy) > equal.accuracy + 0.05


def test_constant_outputs_do_not_pass_the_attacks():
    retrained, _, labels = populations(models=(30, 30), examples=40)
    retrained_z, _, labels_z = populations(models=(30, 30), examples=100, seed=2)
    for constant in (torch.zeros(4), torch.tensor([9.0, 0, 0, 0])):
        unlearned = constant.expand(30, 40, 4)
        lira = u_lira(retrained, unlearned, labels)
        assert lira.accuracy > 0.99 and lira.auc > 0.99
        relative = rmia(
            retrained, unlearned, labels, retrained_z, constant.expand(30, 100, 4), labels_z
        )
        floor = rmia(
            retrained[:15], retrained[15:], labels, retrained_z[:15], retrained_z[15:], labels_z
        )
        assert relative.accuracy >= 0.75 > floor.accuracy


def test_tug_of_war():
    assert float(tug_of_war(0.9, 1.0, 0.8, 0.9, 1.0, 0.8)) == 1
    assert float(tug_of_war(1.0, 0.9, 0.7, 0.9, 1.0, 0.9)) == pytest.approx(0.9 * 0.9 * 0.8)
    several = tug_of_war(torch.tensor([1.0, 0.5]), 1.0, 0.8, 1.0, 1.0, 0.8)
    torch.testing.assert_close(several, torch.tensor([1.0, 0.5], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^retrained_test:"):
        tug_of_war(0.9, 1.0, 0.8, 0.9, 1.0, 94.3)


@pytest.mark.parametrize("metric", [klom, u_lira])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"retrained": torch.zeros(3)}, "retrained"),
        ({"retrained": torch.zeros(1, 3, 2)}, "retrained"),
        ({"unlearned": torch.zeros(4, 3, 5)}, "unlearned"),
        ({"unlearned": torch.full((4, 3, 2), math.nan)}, "unlearned"),
        ({"labels": torch.tensor([0, 1, 2])}, "labels"),
    ],
)
def test_errors_name_the_argument(metric, change, name):
    arguments = {
        "retrained": torch.zeros(4, 3, 2),
        "unlearned": torch.zeros(4, 3, 2),
        "labels": torch.tensor([0, 1, 1]),
        **change,
    }
    with pytest.raises(ValueError, match=rf"^{name}:"):
        metric(**arguments)


def test_rmia_errors_name_the_argument():
    on_x, on_z = populations(), populations(models=(12, 8), seed=1)
    with pytest.raises(ValueError, match=r"^unlearned_population:"):
        rmia(*on_x, *on_z)
    with pytest.raises(ValueError, match=r"^gamma:"):
        rmia(*on_x, *on_x, gamma=0.0)


@pytest.mark.skipif(not GOLDEN.exists(), reason="reference outputs are not beside the checkout")
@pytest.mark.parametrize("method", ["finetune", "pruning_complex"])
def test_klom_equals_the_authors_values(method):
    data = np.load(GOLDEN)
    retrained, unlearned, labels = (
        torch.from_numpy(data[k]) for k in ("retrained_logits", f"{method}/logits", "labels")
    )
    got = klom(retrained, unlearned, labels).numpy()
    np.testing.assert_allclose(got, data[f"{method}/klom"], atol=1e-9, rtol=0)
