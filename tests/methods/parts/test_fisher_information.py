"""The diagonal of the Fisher information, against one image and label at a time."""

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, toy_problem
from torch import Tensor, nn

from unlearn.forget_sets.random import RandomForget
from unlearn.methods.parts.fisher_information import fisher_diagonal


def fisher_by_hand(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    totals = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for image in x:
        outputs = net(image[None])
        for label, p in enumerate(outputs.softmax(1)[0].detach()):
            loss = F.cross_entropy(outputs, torch.tensor([label]))
            gradients = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                total += p * gradient.square() / len(x)
    return totals


@pytest.mark.parametrize("memory_gb", [1.0, 4e-5, 1e-9])  # all at once; few; one by one
def test_fisher_information_is_exact_however_it_is_grouped(
    trained: nn.Module, memory_gb: float
) -> None:
    problem = toy_problem(RandomForget(count=10))
    loader = problem.loader(problem.splits["retain"].take(range(9)), 4, device=CPU)
    x = torch.cat([batch.x for batch in loader])
    information = fisher_diagonal(trained, loader, 5, memory_gb=memory_gb)
    for name, expected in fisher_by_hand(trained, x).items():
        torch.testing.assert_close(information[name], expected, msg=name)
