"""Attention maps of convolutions."""

import torch
from torch import nn

from unlearn.methods.parts.attention import attention_map, outputs_and_attention


def test_attention_maps_have_unit_length_and_one_a_convolution(trained: nn.Module) -> None:
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    outputs, maps = outputs_and_attention(trained, x)
    torch.testing.assert_close(outputs, trained(x))
    assert [tuple(m.shape) for m in maps] == [(3, 64), (3, 16)]
    for m in maps:
        torch.testing.assert_close(m.norm(dim=1), torch.ones(3, dtype=torch.float64))
    single = attention_map(torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]]))
    torch.testing.assert_close(single, torch.tensor([[9.0, 16.0]]) / (81 + 256) ** 0.5)
