"""Advanced NegGrad: one step along both gradients."""

import torch
import torch.nn.functional as F
from support.problems import gradients, images, linear

from unlearn.api import unlearn_model


def test_advanced_neggrad_steps_along_retain_minus_lambda_forget() -> None:
    net, retain, forget = linear(), images(9, 2, 3, seed=1), images(7, 2, 3, seed=2)
    joint = F.cross_entropy(net(retain.tensors[0]), retain.tensors[1]) - 0.3 * F.cross_entropy(
        net(forget.tensors[0]), forget.tensors[1]
    )
    how = {"forget_weight": 0.3, "lr": 0.1, "weight_decay": 0.0, "optimizer": "sgd"}
    unlearned = unlearn_model(net, "advanced_neggrad", forget=forget, retain=retain, **how)
    for new, old, gradient in zip(
        unlearned.parameters(), net.parameters(), gradients(net, joint), strict=True
    ):
        torch.testing.assert_close(new, old - 0.1 * gradient)
