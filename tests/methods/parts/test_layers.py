"""Layers of a network, and what goes in and out of them."""

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, convolutional, images
from torch import nn
from torchvision.models import resnet18

from unlearn.api import problem_from
from unlearn.errors import UserError
from unlearn.methods.parts.layers import (
    last_linear,
    main_path_convolutions,
    mean_outputs,
    penultimate_features,
)


def test_penultimate_features_are_what_enters_the_last_layer() -> None:
    net, data = convolutional(3).eval(), images(7, 4, 3, seed=1)
    problem = problem_from(net, data, None)
    loader = problem.loader(problem.splits["forget"], 4, device=CPU)
    features = torch.cat(list(penultimate_features(net, loader)))
    expected = F.normalize(net[:-1](data.tensors[0]), dim=1)
    torch.testing.assert_close(features, expected)
    assert last_linear(net) is net[-1]
    with pytest.raises(UserError, match="last linear layer"):
        last_linear(nn.Conv2d(1, 1, 1))


def test_mean_outputs_are_the_mean_over_examples_whatever_the_batches() -> None:
    net, data = convolutional(4).eval(), images(11, 4, 4, seed=3)
    problem = problem_from(net, data, None)
    layers = main_path_convolutions(net)
    with torch.no_grad():
        first = net[0](data.tensors[0])
        second = net[3](net[2](net[1](first)))
    for size in (3, 11):
        loader = problem.loader(problem.splits["forget"], size, device=CPU)
        means = mean_outputs(net, layers, loader)
        for mean, outputs in zip(means, (first, second), strict=True):
            torch.testing.assert_close(mean, outputs.mean(0))
    assert not any(layer._forward_hooks for layer in layers)


def test_main_path_leaves_out_shortcuts() -> None:
    with torch.device("meta"):
        net = resnet18()
    assert len([m for m in net.modules() if isinstance(m, nn.Conv2d)]) == 20
    assert len(main_path_convolutions(net)) == 17
    own = nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1), "shortcut": nn.Sequential(nn.Conv2d(1, 1, 1))})
    assert main_path_convolutions(own) == [own["conv"]]
