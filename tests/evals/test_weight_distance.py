"""The distance of weights."""

import pytest
import torch

from unlearn.evals.base import Outputs
from unlearn.evals.weight_distance import WeightDistance


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
