"""Membership attacks on one model: hand-computed statistics and the authors' numbers."""

import math

import numpy as np
import pytest
import torch
from support.compose import REFERENCE

from unlearn.metrics.membership import entropy_attack, loss_attack, nomus, svc_attack
from unlearn.metrics.statistics import entropy, modified_entropy, published_modified_entropy

GOLDEN = REFERENCE
STATISTICS = ("correctness", "confidence", "entropy", "prob", "m_entropy")


def three_sets(gap=2.0, classes=5, seed=0):
    """Logits and labels of retain (confident by ``gap``), test and forget examples."""
    generator = torch.Generator().manual_seed(seed)
    sets = []
    for count, lift in ((120, gap), (100, 0.0), (60, 0.0)):
        logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
        labels = torch.randint(classes, (count,), generator=generator)
        logits[torch.arange(count), labels] += 1 + lift
        sets += [logits, labels]
    return sets


def test_entropy_of_uniform_and_one_hot():
    assert float(entropy(torch.zeros(1, 10))) == pytest.approx(2.302585, abs=1e-6)
    assert float(entropy(torch.tensor([[1000.0, 0, 0]]))) == 0


def test_modified_entropy_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]], dtype=torch.float64)
    labels = torch.tensor([0, 2])
    expected = [
        -0.3 * math.log(0.7) - 0.2 * math.log(0.8) - 0.1 * math.log(0.9),
        -0.75 * math.log(0.25) - 0.25 * math.log(0.75) - 0.5 * math.log(0.5),
    ]
    assert modified_entropy(p.log(), labels).tolist() == pytest.approx(expected)
    # The published code: columns 0 and 2 count as label everywhere, column 1 nowhere; ln p always.
    published = [
        -0.3 * math.log(0.7) - 0.2 * math.log(0.2) - 0.9 * math.log(0.1),
        -0.75 * math.log(0.25) - 0.5 * math.log(0.5) - 0.75 * math.log(0.25),
    ]
    assert published_modified_entropy(p.log(), labels).tolist() == pytest.approx(published)


def test_modified_entropy_stays_finite_at_certainty():
    certain = torch.tensor([[1000.0, 0, 0]])
    assert float(modified_entropy(certain, torch.tensor([0]))) == 0
    assert 100 < float(modified_entropy(certain, torch.tensor([1]))) < 200


@pytest.mark.parametrize("statistic", ["confidence", "entropy", "prob", "m_entropy"])
def test_svc_attack_separates_what_is_separable(statistic):
    retain, retain_y, test, test_y, forget, forget_y = three_sets(gap=6.0)
    forgotten = svc_attack(retain, retain_y, test, test_y, forget, forget_y, statistic)
    kept = svc_attack(retain, retain_y, test, test_y, retain[:60], retain_y[:60], statistic)
    assert forgotten > 0.8 and kept < 0.15


def test_entropy_attack_calls_the_remembered_members():
    retain, _, test, _, forget, _ = three_sets(gap=6.0)
    assert entropy_attack(retain, test, retain[:60]) > 0.85
    assert entropy_attack(retain, test, forget) < 0.3


def test_loss_attack_and_nomus():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(400, 3, generator=generator), torch.zeros(400, dtype=torch.long)
    fitted = logits + torch.tensor([8.0, 0, 0])
    assert loss_attack(logits[:200], labels[:200], logits[200:], labels[200:]) == pytest.approx(
        0.5, abs=0.08
    )
    assert loss_attack(fitted[:200], labels[:200], logits[200:], labels[200:]) > 0.9
    # More forget than unseen examples are cut to equal number: a constant guess is half right.
    flat = torch.zeros(300, 3)
    assert loss_attack(flat, labels[:300], flat[:100], labels[:100]) == 0.5


@pytest.mark.parametrize(
    ("test_accuracy", "deviation", "expected"),
    [
        (0.5951, 0.2136, 0.58395),
        (0.4880, 0.0445, 0.6995),
        (0.6055, 0.2129, 0.5898),
        (0.5900, 0.2126, 0.5824),
        (0.4048, 0.0485, 0.6539),
        (0.5893, 0.2089, 0.5857),
        (0.5925, 0.1990, 0.5972),
        (0.5984, 0.1415, 0.6577),
        (0.5633, 0.0953, 0.6863),
        (0.8852, 0.0568, 0.8858),
        (0.8135, 0.0436, 0.8631),
        (0.9147, 0.0708, 0.8865),
        (0.4193, 0.0356, 0.6740),
        (0.9073, 0.0478, 0.9058),
    ],
)
def test_nomus_reproduces_the_benchmark_table(test_accuracy, deviation, expected):
    # Three numbers rounded to four digits: they agree to 1.25e-4 at worst.
    assert nomus(test_accuracy, 0.5 + deviation) == pytest.approx(expected, abs=1.3e-4)
    assert nomus(test_accuracy, 0.5 - deviation) == pytest.approx(expected, abs=1.3e-4)


@pytest.mark.parametrize(
    ("position", "value", "name"),
    [
        (0, torch.zeros(5), "retain_logits"),
        (1, torch.full((120,), 5), "retain_labels"),
        (2, torch.full((100, 5), math.nan), "test_logits"),
        (3, torch.zeros(99, dtype=torch.long), "test_labels"),
        (4, torch.zeros(60, 4), "forget_logits"),
        (5, torch.full((60,), -1), "forget_labels"),
        (6, "loss", "statistic"),
    ],
)
def test_svc_errors_name_the_argument(position, value, name):
    arguments = [*three_sets(), "confidence"]
    arguments[position] = value
    with pytest.raises(ValueError, match=rf"^{name}:"):
        svc_attack(*arguments)


def test_other_errors_name_the_argument():
    retain, _, test, _, forget, forget_y = three_sets()
    with pytest.raises(ValueError, match=r"^test_logits:"):
        entropy_attack(retain, test[:, :3], forget)
    with pytest.raises(ValueError, match=r"^unseen_labels:"):
        loss_attack(forget, forget_y, test, torch.full((100,), 9))
    with pytest.raises(ValueError, match=r"^test_accuracy:"):
        nomus(59.5, 0.7)


@pytest.mark.skipif(
    not (GOLDEN / "membership.npz").exists(),
    reason="reference outputs are not beside the checkout",
)
@pytest.mark.parametrize("case", ["synthetic", "network"])
def test_attacks_equal_the_authors_values(case):
    data = np.load(GOLDEN / ("membership.npz" if case == "synthetic" else "methods.npz"))
    if case == "synthetic":
        logits, labels, svc, logreg = "{}_logits", "{}_labels", "svc_{}", "entropy_logreg"
    else:
        logits, labels = "metric/logits_unlearned_{}", "y_{}"
        svc, logreg = "metric/svc_mia_{}", "metric/mia_entropy_logreg"
    arguments = [
        torch.from_numpy(data[key.format(split)])
        for split in ("retain", "test", "forget")
        for key in (logits, labels)
    ]
    for statistic in STATISTICS:
        legacy = statistic == "m_entropy"
        expected = float(data[svc.format(statistic + "_legacy" * legacy)])
        assert svc_attack(*arguments, statistic=statistic, legacy=legacy) == expected, statistic
    assert entropy_attack(*arguments[::2]) == float(data[logreg])
