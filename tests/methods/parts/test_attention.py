"""Attention maps of convolutions."""

import torch
import torch.nn.functional as F
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


def test_a_map_is_of_the_activation_however_the_network_takes_it() -> None:
    torch.manual_seed(0)
    first, second, head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5 * 16, 2)
    x = torch.randn(2, 3, 8, 8)
    active = F.relu(first(x))
    by_hand = [attention_map(active), attention_map(F.relu(second(active)))]
    for inplace in (False, True):
        net = nn.Sequential(
            first, nn.ReLU(inplace=inplace), second, nn.ReLU(inplace=inplace), nn.Flatten(), head
        )
        _, maps = outputs_and_attention(net, x)
        for ours, expected in zip(maps, by_hand, strict=True):
            torch.testing.assert_close(ours, expected)
        slopes = [
            torch.autograd.grad(sum(m[:, 0].sum() for m in pair), first.weight, retain_graph=True)
            for pair in (maps, by_hand)
        ]
        torch.testing.assert_close(slopes[0], slopes[1])


def test_a_map_is_taken_after_the_normalisation_of_its_convolution(trained: nn.Module) -> None:
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    _, maps = outputs_and_attention(trained, x)
    torch.testing.assert_close(maps[0], attention_map(F.relu(trained[1](trained[0](x)))))
