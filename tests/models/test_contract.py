"""Every model file: builds for any dataset, trains one step, evaluates, on CPU."""

import pytest
import torch
from support.compose import options
from support.networks import network
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from unlearn.data.task import Task
from unlearn.errors import UserError

TASKS = {
    "classification": Task("classification", 7),
    "regression": Task("regression", 1, "l1", unit="years"),
}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", options("model"))
def test_one_training_step_and_one_evaluation(name, kind):
    task = TASKS[kind]
    torch.manual_seed(0)
    net = network(name, outputs=task.num_outputs)
    x = torch.randn(2, 3, 32, 32)
    y = torch.tensor([1, 5]) if task.is_classification else torch.tensor([30.0, 50.0])
    head = [p for p in net.parameters() if p.requires_grad][-2]
    before = head.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    loss = task.criterion(net.train()(x), y)
    loss.backward()
    assert all(p.grad is not None for p in net.parameters()), "every parameter takes part"
    optimizer.step()
    assert torch.isfinite(loss) and not torch.equal(head, before)
    with torch.no_grad():
        first, again = net.eval()(x), net(x)
    assert first.shape == (2, task.num_outputs) and torch.isfinite(first).all()
    assert torch.equal(first, again), "no dropout and no batch statistics in evaluation"
    assert not torch.allclose(first[0], first[1]), "the answer depends on the image"


@pytest.mark.parametrize("name", options("model"))
def test_input_channels_follow_the_dataset(name):
    with torch.device("meta"):  # shapes only
        net = network(name, channels=1).eval()
        assert net(torch.randn(1, 1, 32, 32)).shape == (1, 7)


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "vit_tiny"])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (64, 3)])
def test_sizes_of_other_datasets(name, side, channels):
    net = network(name, side=side, channels=channels).eval()
    assert net(torch.randn(1, channels, side, side)).shape == (1, 7)


@pytest.mark.parametrize("name", ["vgg11_head", "vgg16", "vit_b_16"])
def test_too_small_images_are_refused_with_a_way_out(name):
    with pytest.raises(UserError, match=r"dataset\.size"):
        network(name, side=8)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", ["small_cnn", "vit_tiny", "resnet18"])
def test_stacked_models_train_like_single_ones(name):
    torch.manual_seed(0)
    nets = [network(name, side=16).train() for _ in range(2)]
    parameters, buffers = stack_module_state(nets)
    x, y = torch.randn(2, 4, 3, 16, 16), torch.randint(7, (2, 4))

    def loss(p, b, x, y):
        return nn.functional.cross_entropy(functional_call(nets[0], (p, b), (x,)), y)

    gradients = vmap(grad(loss))(parameters, {k: v.clone() for k, v in buffers.items()}, x, y)
    for number, net in enumerate(nets):
        nn.functional.cross_entropy(net(x[number]), y[number]).backward()
        for key, parameter in net.named_parameters():
            scale = parameter.grad.abs().max().clamp(min=1e-3)
            assert (gradients[key][number] - parameter.grad).abs().max() < 1e-3 * scale, key
