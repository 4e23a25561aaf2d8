"""unlearn_model on a model and data of one's own."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from unlearn.api import unlearn_model
from unlearn.errors import UserError


@pytest.fixture
def own():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x, y = torch.randn(30, 3, 2, 2, dtype=torch.float64), torch.arange(30) % 3
    return net, TensorDataset(x[:20], y[:20]), TensorDataset(x[20:], y[20:])


@pytest.mark.parametrize("method", ["ssd", "gisa", "finetune"])
def test_returns_a_new_module_and_leaves_the_given_one(own, method):
    net, retain, forget = own
    before = copy.deepcopy(net.state_dict())
    made = unlearn_model(net, method, forget=forget, retain=retain, seed=1, batch_size=5)
    again = unlearn_model(net, method, forget=forget, retain=retain, seed=1, batch_size=5)
    assert made is not net
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert next(made.parameters()).dtype == torch.float64
    for key, value in made.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_retraining_starts_from_a_fresh_network(own):
    net, retain, forget = own
    with pytest.raises(UserError, match="recipe"):
        unlearn_model(net, "retrain", forget=forget, retain=retain)


def test_a_needed_retain_set_is_asked_for(own):
    net, _, forget = own
    with pytest.raises(UserError, match="retain"):
        unlearn_model(net, "ssd", forget=forget)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"alpha": -1.0}, "method.alpha must lie in"),
        ({"alpha": "big"}, "method.alpha must be a number"),
        ({"alhpa": 2.0}, "did you mean 'alpha'"),
        ({"reference": "half"}, "one of full, retain"),
    ],
)
def test_wrong_hyperparameters_are_named(own, values, text):
    net, retain, forget = own
    with pytest.raises(UserError, match=text):
        unlearn_model(net, "ssd", forget=forget, retain=retain, **values)


def test_unknown_method_lists_what_exists(own):
    net, retain, forget = own
    with pytest.raises(UserError, match="gisa.*ssd"):
        unlearn_model(net, "magic", forget=forget, retain=retain)
