"""Label poisoning: one step by hand."""

import torch
import torch.nn.functional as F
from support.problems import assert_noise_of_the_targets_spread, assert_refused, images, linear

from unlearn.api import unlearn_model
from unlearn.methods.label_poisoning import LabelPoisoning
from unlearn.methods.parts.relabelling import random_labels


def test_label_poisoning_is_a_step_towards_the_drawn_labels_without_retain_data() -> None:
    net, forget = linear(), images(9, 2, 3, seed=2)
    drawn = random_labels(9, 3, torch.Generator().manual_seed(4))
    loss = F.cross_entropy(net(forget.tensors[0]), drawn)
    slopes = torch.autograd.grad(loss, list(net.parameters()))
    how = {"lr": 0.1, "weight_decay": 0.0}
    unlearned = unlearn_model(net, "label_poisoning", forget=forget, seed=4, **how)
    for new, old, slope in zip(unlearned.parameters(), net.parameters(), slopes, strict=True):
        torch.testing.assert_close(new, old - 0.1 * 1.9 * slope)  # Nesterov's first step


def test_poison_in_regression_adds_noise_of_the_targets_spread() -> None:
    assert_noise_of_the_targets_spread(
        LabelPoisoning, {"weight_decay": 0.0, "epochs": 1, "lr": 0.01, "batch_size": 16}
    )


def test_an_empty_batch_is_named() -> None:
    assert_refused("label_poisoning", "method.batch_size", batch_size=0)
