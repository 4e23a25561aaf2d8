"""Fisher forgetting: the variance of its noise, and the class it forgets."""

import copy

import torch
from support.problems import fitted_on, toy_problem
from torch import nn

from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.fisher import FisherForgetting, noise_variance


def test_fisher_variance_is_clamped() -> None:
    information = torch.tensor([[0.0, 1.0], [4.0, 1e-2], [1e6, 1e6]], dtype=torch.float64)
    inverse = 1 / (information + 1e-8)
    hidden = noise_variance(information, 5, 1e-6)
    torch.testing.assert_close(hidden[0], (1e-6 * (1000 + inverse[0, 1]) / 2).expand(2))
    last = noise_variance(information, 3, 1e-6)
    torch.testing.assert_close(last[0, 0], 1e-6 * (100 + inverse[0, 1]) / 2)
    torch.testing.assert_close(
        last[1, 1], 1e-6 * (inverse[1, 0] + inverse[1, 1].clamp_max(100)) / 2
    )
    vector = noise_variance(torch.zeros(4, dtype=torch.float64), 5, 1e-6)
    torch.testing.assert_close(vector, torch.full((4,), 1e-2, dtype=torch.float64))


def test_fisher_forgotten_rows_get_their_own_variance() -> None:
    information = torch.ones(3, 4, dtype=torch.float64)
    variance = noise_variance(information, 3, 1e-6, (1,))
    torch.testing.assert_close(variance[1], torch.full((4,), 1e-3, dtype=torch.float64))
    torch.testing.assert_close(variance[0], torch.full((4,), 1e-5, dtype=torch.float64))
    bias = noise_variance(torch.zeros(3, dtype=torch.float64), 3, 1e-6, (1,))
    torch.testing.assert_close(bias, torch.tensor([1e-3, 1e-3, 1e-3], dtype=torch.float64))
    hidden = noise_variance(torch.ones(6, 4, dtype=torch.float64), 3, 1e-6, (1,))
    torch.testing.assert_close(hidden, torch.full((6, 4), 1e-6, dtype=torch.float64))


def test_fisher_forgets_the_class_and_reads_no_forget_image(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    net = fitted_on(
        problem, FisherForgetting(alpha=1e-12, batch_size=16, memory_gb=1.0), copy.deepcopy(trained)
    )
    # With hardly any noise elsewhere only the row of the class moves, to N(0, 1e-3).
    change = net[8].weight - trained[8].weight
    assert net[8].weight[2].abs().max() < 6 * 1e-3**0.5
    assert change[[0, 1, 3, 4]].abs().max() < 1e-3
