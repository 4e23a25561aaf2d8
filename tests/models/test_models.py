"""Every model file: builds for any dataset, trains one step, evaluates, on CPU."""

import hashlib
import pickle
import types
from dataclasses import dataclass

import pytest
import torch
from support.compose import compose_job, options
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torchvision.models import ResNet18_Weights, resnet18, vgg11, vit_b_16

from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.models import pretrained
from unlearn.programs.building import build

TASKS = {
    "classification": Task("classification", 7),
    "regression": Task("regression", 1, "l1", unit="years"),
}


def network(name: str, *overrides: str, side: int = 32, channels: int = 3, outputs: int = 7):
    job = compose_job(f"model={name}", *overrides)
    shape = {"in_channels": channels, "image_size": side, "num_outputs": outputs}
    return build(job.values["model"], "model", **shape)


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


def test_resnet_has_the_stem_that_fits():
    small, large = network("resnet18", side=32), network("resnet18", side=64)
    assert small.conv1.stride == (1, 1) and isinstance(small.maxpool, nn.Identity)
    assert large.conv1.stride == (2, 2) and isinstance(large.maxpool, nn.MaxPool2d)
    # Known size of the CIFAR form with ten classes.
    assert sum(p.numel() for p in network("resnet18", outputs=10).parameters()) == 11_173_962


def test_vgg_head_has_the_published_size():
    with torch.device("meta"):
        own = sum(p.numel() for p in network("vgg11_head", outputs=100).parameters())
        theirs = sum(p.numel() for p in vgg11().parameters())
    assert own == theirs + 1001 * 100 == 132_863_336 + 100_100


def test_vit_is_torchvisions_at_224_pixels():
    with torch.device("meta"):
        net = network("vit_b_16", side=224, outputs=1000)
        theirs = vit_b_16().state_dict()
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in theirs.items()
    }


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


def test_pretrained_weights_are_loaded_where_they_fit(monkeypatch):
    torch.manual_seed(1)
    given = resnet18().state_dict()
    monkeypatch.setattr("unlearn.models.pretrained.fetch_weights", lambda weights: given)
    large = network("resnet18", "model.pretrained=true", side=128).state_dict()
    same = [key for key in large if large[key].shape == given[key].shape]
    assert set(given) - set(same) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(large[key], given[key]) for key in same)
    small = network("resnet18", "model.pretrained=true", side=32).state_dict()
    assert torch.equal(small["layer4.1.conv2.weight"], given["layer4.1.conv2.weight"])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Torch's cache of weights, empty, and no network."""

    def offline(*_, **__):
        raise OSError("no route to host")

    pretrained.fetch_weights.cache_clear()
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path / "checkpoints"
    pretrained.fetch_weights.cache_clear()


@dataclass(frozen=True)
class Published:
    """An entry of torchvision's table."""

    url: str


def as_published(monkeypatch, path):
    """Let a file of our own making pass for the one that torchvision's table names."""
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    named = path.rename(path.with_name(f"resnet18-{digits}.pth"))
    weights = Published(f"https://example.org/models/{named.name}")
    known = types.SimpleNamespace(IMAGENET1K_V1=weights)
    monkeypatch.setattr("unlearn.models.resnet.ResNet18_Weights", known)
    return named


def test_pretrained_weights_that_cannot_be_had_are_an_error_of_one_line(hub):
    with pytest.raises(UserError, match=r"cannot be downloaded.*model\.pretrained=false") as caught:
        network("resnet18", "model.pretrained=true", side=128)
    assert "\n" not in str(caught.value) and not list(hub.iterdir())
    with pytest.raises(UserError, match="224 pixels"):
        network("vit_b_16", "model.pretrained=true", side=32)


def test_a_cached_file_of_weights_is_compared_with_its_hash(hub):
    file = hub / ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(resnet18().state_dict(), file)
    with pytest.raises(UserError, match=r"is not what https.* holds \(SHA-256 f37072fd") as caught:
        network("resnet18", "model.pretrained=true", side=128)
    assert "\n" not in str(caught.value)


class Payload:
    """Unpickled, it would leave a file behind."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old format"])
def test_a_pickle_with_code_is_never_executed(hub, monkeypatch, tmp_path, old):
    file = hub / "crafted"
    trace = tmp_path / "executed"
    state = {**resnet18().state_dict(), "extra": Payload(trace)}
    torch.save(state, file, _use_new_zipfile_serialization=not old)
    as_published(monkeypatch, file)
    with pytest.raises(UserError, match="holds something else than weights") as caught:
        network("resnet18", "model.pretrained=true", side=128)
    assert not trace.exists() and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps([1], protocol=2)])
def test_a_file_that_holds_no_weights_is_named(hub, monkeypatch, content):
    (hub / "crafted").write_bytes(content)
    named = as_published(monkeypatch, hub / "crafted")
    with pytest.raises(UserError, match=f"{named.name} holds something else than weights"):
        network("resnet18", "model.pretrained=true", side=128)


def test_weights_of_which_nothing_fits_are_an_error_and_their_own_are_loaded(hub, monkeypatch):
    torch.manual_seed(3)
    state = resnet18().state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, hub / "crafted")
    as_published(monkeypatch, hub / "crafted")
    with pytest.raises(UserError, match="not one tensor of .* fits"):
        network("resnet18", "model.pretrained=true", side=128)
    torch.save(state, hub / "right")
    as_published(monkeypatch, hub / "right")
    loaded = network("resnet18", "model.pretrained=true", side=128).state_dict()
    assert torch.equal(loaded["conv1.weight"], state["conv1.weight"])
