"""Datasets as people have them become tables; what is random or large is read when asked for."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from unlearn.data.examples import Examples
from unlearn.data.given import read_table
from unlearn.data.lazy import LazyImages, generators_kept, generators_now, seed_generators
from unlearn.data.loaders import Loader
from unlearn.data.splits import Split
from unlearn.errors import UserError

CPU = torch.device("cpu")
COUNT = 12
BYTES = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 4, 3), dtype=np.uint8)
FLOATS = torch.from_numpy(BYTES).permute(0, 3, 1, 2).float() / 255
LABELS = [i % 3 for i in range(COUNT)]


class Items(Dataset):
    """Map-style dataset of whatever a function makes; counts how often it is read."""

    def __init__(self, make, count=COUNT):
        self.make, self.count, self.reads = make, count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.reads += 1
        return self.make(i)


def table(data, *, limit=1e9, redraw=False, dtype=torch.float32):
    return read_table([Examples(data, "forget", dtype)], limit=limit, redraw=redraw)[0]


def network_input(found):
    return found.transform(found.images.index_select(0, torch.arange(len(found))))


KINDS = {
    "tensors": lambda i: (FLOATS[i], LABELS[i]),
    "byte tensors": lambda i: (torch.from_numpy(BYTES[i]).permute(2, 0, 1), LABELS[i]),
    "PIL": lambda i: (Image.fromarray(BYTES[i]), LABELS[i]),
    "PIL with alpha": lambda i: (
        Image.fromarray(BYTES[i]).convert("RGB").convert("RGBA"),
        np.int64(LABELS[i]),
    ),
    "byte arrays": lambda i: (BYTES[i], np.array(LABELS[i])),
    "float64 arrays": lambda i: (FLOATS[i].double().numpy(), torch.tensor(LABELS[i])),
    "lists": lambda i: [FLOATS[i], LABELS[i], "more"],
    "image, label": lambda i: {"id": i, "image": FLOATS[i], "label": LABELS[i]},
    "x, y": lambda i: {"x": FLOATS[i], "y": LABELS[i], "weight": 1.0},
    "pixel_values, labels": lambda i: {"pixel_values": FLOATS[i], "labels": LABELS[i]},
    "img, target": lambda i: {"img": Image.fromarray(BYTES[i]), "target": LABELS[i]},
    "the only two": lambda i: {"scan": FLOATS[i], "diagnosis": LABELS[i]},
    "image and one more": lambda i: {"image": FLOATS[i], "diagnosis": LABELS[i]},
    "label and one more": lambda i: {"label": LABELS[i], "scan": FLOATS[i]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1e9, 0])
def test_all_habits_are_one_table(kind, limit):
    found = table(Items(KINDS[kind]), limit=limit)
    assert torch.equal(found.targets, torch.tensor(LABELS))
    assert torch.allclose(network_input(found), FLOATS)
    assert isinstance(found.images, torch.Tensor) == (limit > 0)


@pytest.mark.parametrize(
    "data",
    [
        (FLOATS, torch.tensor(LABELS)),
        (FLOATS.numpy(), np.array(LABELS)),
        TensorDataset(FLOATS, torch.tensor(LABELS)),
        [(FLOATS[i], LABELS[i]) for i in range(COUNT)],
        DataLoader(TensorDataset(FLOATS, torch.tensor(LABELS)), batch_size=5, shuffle=True),
        ConcatDataset([TensorDataset(FLOATS[:7], torch.tensor(LABELS[:7])),
                       TensorDataset(FLOATS[7:], torch.tensor(LABELS[7:]))]),
    ],
    ids=["tensors", "arrays", "TensorDataset", "list", "DataLoader", "ConcatDataset"],
)  # fmt: skip
def test_whole_containers(data):
    found = table(data)
    assert torch.equal(network_input(found), FLOATS) and found.targets.tolist() == LABELS


def test_the_sampler_of_a_loader_chooses_its_examples():
    data = TensorDataset(FLOATS, torch.tensor(LABELS))
    found = table(DataLoader(data, batch_size=2, sampler=SubsetRandomSampler([7, 2, 5])))
    assert torch.equal(network_input(found), FLOATS[[7, 2, 5]])
    weighted = DataLoader(data, sampler=WeightedRandomSampler([1.0] * COUNT, 3))
    with pytest.raises(UserError, match="forget: the DataLoader's sampler WeightedRandomSampler"):
        table(weighted)


def test_regression_targets_stay_real():
    found = table(Items(lambda i: (FLOATS[i], 0.5 + i)))
    assert found.targets.is_floating_point() and found.targets.tolist()[:2] == [0.5, 1.5]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "forget: the dataset is empty"),
        (iter([]), "forget must be a map-style dataset"),
        ("folder", "forget must be a map-style dataset"),
        ((FLOATS, torch.tensor(LABELS[:3])), "12 images and 3 labels"),
        (Items(lambda i: FLOATS[i]), "examples must be"),
        (Items(lambda i: {"a": 1, "b": 2, "c": 3}), "mappings with the keys a, b, c"),
        (Items(lambda i: ("photo.png", 0)), "add a transform such as"),
        (Items(lambda i: (Image.new("I;16", (4, 4)), 0)), "mode I;16"),
        (Items(lambda i: (FLOATS[i][:, : 5 - (i == 3)], 0)), "example 3 has shape"),
        (Items(lambda i: (FLOATS[i] / (i != 4), 0)), "example 4 holds values that are not finite"),
        (Items(lambda i: (FLOATS[i], "cat")), "label of example 0 is 'cat'"),
        (Items(lambda i: (FLOATS[i], torch.eye(3)[i % 3])), "instead of one-hot"),
        (Items(lambda i: (FLOATS[i], 1.5 if i else 1)), "some are real numbers"),
        (Items(lambda i: (FLOATS[i], float("nan"))), "labels are not finite"),
        (Items(lambda i: {}["missing"]), "example 0 cannot be read"),
        ((FLOATS, torch.eye(3)[LABELS]), "instead of one-hot"),
    ],
)
def test_what_cannot_be_read_is_named(data, text):
    with pytest.raises(UserError, match=text) as raised:
        table(data)
    assert "forget" in str(raised.value) and "\n" not in str(raised.value)


def flipped(i):
    """A random flip, as torchvision draws one."""
    image = FLOATS[i].flip(-1) if torch.rand(1) < 0.5 else FLOATS[i]
    return image, LABELS[i]


def noisy_numpy(i):
    return FLOATS[i] + np.random.rand(), LABELS[i]


def noisy_python(i):
    return FLOATS[i] + random.random(), LABELS[i]


def noisy_own_generator(i, generator=np.random.default_rng(1)):  # noqa: B008
    return FLOATS[i] + generator.random(), LABELS[i]


RANDOM = [flipped, noisy_numpy, noisy_python, noisy_own_generator]


@pytest.mark.parametrize("make", RANDOM)
def test_random_transforms_are_drawn_anew_by_every_pass_of_training(make):
    found = table(Items(make), redraw=True)
    loader = Loader(Split.of(found, torch.arange(COUNT)), 5, CPU)
    first, second, third = (torch.cat([batch.x for batch in loader]) for _ in range(3))
    assert not torch.equal(first, second) and not torch.equal(second, third)


@pytest.mark.parametrize("make", RANDOM[:3])
@pytest.mark.parametrize("limit", [1e9, 0])
def test_evaluated_models_all_see_one_draw(make, limit):
    found = table(Items(make), limit=limit)
    one = network_input(found)
    torch.rand(5), np.random.rand(3), random.random()
    assert torch.equal(network_input(found), one)
    backwards = found.images.index_select(0, torch.arange(COUNT - 1, -1, -1))
    assert torch.equal(found.transform(backwards).flip(0), one)
    assert torch.equal(network_input(table(Items(make), limit=1e9 - limit)), one)
    assert table(Items(make), limit=limit).digest() == found.digest()


def test_what_is_not_random_is_read_once_and_held():
    data = Items(KINDS["PIL"])
    found = table(data, redraw=True)
    reads = data.reads
    loader = Loader(Split.of(found, torch.arange(COUNT)), 5, CPU)
    for _ in range(3):
        list(loader)
    assert data.reads == reads and isinstance(found.images, torch.Tensor)


def test_large_data_are_streamed_and_never_held():
    size = COUNT * FLOATS[0].numel() * 4
    data = Items(KINDS["tensors"])
    assert isinstance(table(data, limit=size).images, torch.Tensor)
    found = table(data, limit=size - 1)
    assert isinstance(found.images, LazyImages)
    reads = data.reads
    batches = list(Loader(Split.of(found, torch.arange(COUNT)), 5, CPU))
    assert data.reads == reads + COUNT
    assert torch.equal(torch.cat([batch.x for batch in batches]), FLOATS)


@pytest.mark.parametrize("workers", [0, 2])
def test_accelerators_get_streamed_batches(workers):
    """Where a table does not fit an accelerator, processes gather batches; so for these tables."""
    found = table(Items(flipped), redraw=True)
    loader = Loader(Split.of(found, torch.arange(COUNT)), 5, torch.device("meta"), workers=workers)
    assert not loader.resident
    loader = Loader(Split.of(found, torch.arange(COUNT)), 5, CPU, workers=workers)
    loader.resident = False  # as above, with tensors that have values
    passes = [torch.cat([batch.x for batch in loader]) for _ in range(4)]
    for one in passes:
        same = [
            torch.equal(a, b) or torch.equal(a, b.flip(-1))
            for a, b in zip(one, FLOATS, strict=True)
        ]
        assert all(same)
    assert not all(torch.equal(passes[0], one) for one in passes[1:])


def test_several_datasets_follow_each_other_in_any_order_of_rows():
    parts = [
        Examples(TensorDataset(FLOATS[:4], torch.tensor(LABELS[:4])), "retain", torch.float32),
        Examples(Items(lambda i: KINDS["tensors"](4 + i), COUNT - 4), "forget", torch.float32),
    ]
    for limit in (1e9, 0):
        found, example = read_table(parts, limit=limit, redraw=True)
        assert torch.equal(network_input(found), FLOATS) and found.targets.tolist() == LABELS
        assert example.shape == (1, 3, 5, 4)
        rows = torch.tensor([11, 0, 4, 3, 0])
        assert torch.equal(found.images.index_select(0, rows), FLOATS[rows])
    lazy = LazyImages(parts, FLOATS[0])
    assert torch.equal(lazy[5], FLOATS[5]) and torch.equal(lazy[2:6], FLOATS[2:6])
    assert (len(lazy), lazy.shape, lazy.ndim) == (COUNT, (COUNT, 3, 5, 4), 4)


def test_reading_leaves_the_global_generators_alone():
    before = generators_now()
    table(Items(flipped), redraw=True)
    table(Items(noisy_numpy))
    assert generators_now() == before
    with generators_kept():
        seed_generators(3)
        assert generators_now() != before
    assert generators_now() == before


def test_floats_take_the_type_of_the_network():
    assert table(Items(KINDS["tensors"]), dtype=torch.float64).images.dtype == torch.float64
    from_bytes = network_input(table(Items(KINDS["PIL"]), dtype=torch.float64))
    assert from_bytes.dtype == torch.float64 and torch.allclose(from_bytes.float(), FLOATS)
