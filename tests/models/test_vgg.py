"""VGG-11 with a head: the published size."""

import torch
from support.networks import network
from torchvision.models import vgg11


def test_vgg_head_has_the_published_size():
    with torch.device("meta"):
        own = sum(p.numel() for p in network("vgg11_head", outputs=100).parameters())
        theirs = sum(p.numel() for p in vgg11().parameters())
    assert own == theirs + 1001 * 100 == 132_863_336 + 100_100
