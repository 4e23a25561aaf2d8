"""Vision transformers."""

import torch
from support.networks import network
from torchvision.models import vit_b_16


def test_vit_is_torchvisions_at_224_pixels():
    with torch.device("meta"):
        net = network("vit_b_16", side=224, outputs=1000)
        theirs = vit_b_16().state_dict()
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in theirs.items()
    }
