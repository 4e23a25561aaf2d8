"""ResNet-18: the stem that fits."""

from support.networks import network
from torch import nn


def test_resnet_has_the_stem_that_fits():
    small, large = network("resnet18", side=32), network("resnet18", side=64)
    assert small.conv1.stride == (1, 1) and isinstance(small.maxpool, nn.Identity)
    assert large.conv1.stride == (2, 2) and isinstance(large.maxpool, nn.MaxPool2d)
    # Known size of the CIFAR form with ten classes.
    assert sum(p.numel() for p in network("resnet18", outputs=10).parameters()) == 11_173_962
