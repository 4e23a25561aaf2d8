"""Pretrained weights: loaded where they fit, never run, and named where something is wrong."""

import hashlib
import pickle
import types
from dataclasses import dataclass

import pytest
import torch
from support.networks import network
from torchvision.models import ResNet18_Weights, resnet18

from unlearn.errors import UserError
from unlearn.models import pretrained


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
