"""NegGrad: one step up the loss."""

import torch
import torch.nn.functional as F
from support.problems import gradients, images, linear

from unlearn.api import unlearn_model


def test_neggrad_climbs_the_cross_entropy() -> None:
    net, forget = linear(), images(7, 2, 3, seed=1)
    ascent = gradients(net, F.cross_entropy(net(forget.tensors[0]), forget.tensors[1]))
    unlearned = unlearn_model(net, "neggrad", forget=forget, lr=0.1, epochs=1)
    for new, old, gradient in zip(unlearned.parameters(), net.parameters(), ascent, strict=True):
        torch.testing.assert_close(new, old + 0.1 * gradient)
