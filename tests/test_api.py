"""Unlearning, evaluating and comparing models and data of one's own."""

import copy
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from unlearn.api import compare_models, evaluate_model, problem_from, unlearn_model
from unlearn.comparison.scoring import Resampling
from unlearn.errors import UserError

FEW = Resampling(models=4, relabellings=9, examples=20)


def network(seed: int = 0, outputs: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, outputs))


X, Y = torch.randn(40, 3, 2, 2, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3


def datasets(**changes) -> dict:
    sides = {"retain": slice(0, 20), "forget": slice(20, 30), "test": slice(30, 40)}
    return {name: TensorDataset(X[s], Y[s]) for name, s in sides.items()} | changes


@pytest.fixture
def own():
    net = network().double()
    x, y = X[:30].double(), Y[:30]
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
        ({"seed": 1.5}, "seed must be a whole number .* got 1.5"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 2**31}, "seed must be a whole number"),
        ({"memory_gb": "2"}, "memory_gb must be a number"),
    ],
)
def test_wrong_values_are_named(own, values, text):
    net, retain, forget = own
    with pytest.raises(UserError, match=text):
        unlearn_model(net, "ssd", forget=forget, retain=retain, **values)


def test_unknown_method_lists_what_exists(own):
    net, retain, forget = own
    with pytest.raises(UserError, match="gisa.*ssd"):
        unlearn_model(net, "magic", forget=forget, retain=retain)


def test_global_generators_are_left_alone(own):
    net, retain, forget = own
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    unlearn_model(net, "finetune", forget=forget, retain=retain)
    assert torch.equal(torch.rand(3), expected)


class Flipping(Dataset):
    """Images that are flipped at random, as PIL images in dictionaries; records what was drawn."""

    def __init__(self, rows: slice):
        self.pixels = (255 * X[rows].clamp(0, 1)).byte().permute(0, 2, 3, 1).numpy()
        self.labels, self.drawn = Y[rows], []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        flip = bool(torch.rand(1) < 0.5)
        self.drawn.append((i, flip))
        pixels = self.pixels[i][:, ::-1] if flip else self.pixels[i]
        return {
            "image": Image.fromarray(np.ascontiguousarray(pixels)),
            "label": int(self.labels[i]),
        }


def test_transforms_stay_random_in_training_and_are_fixed_by_the_seed():
    made = {}
    for seed in (1, 1, 2):
        retain, forget = Flipping(slice(0, 20)), Flipping(slice(20, 30))
        loader = DataLoader(retain, batch_size=5, shuffle=True)
        kwargs = {"forget": forget, "retain": loader, "seed": seed}
        net = unlearn_model(network(), "finetune", epochs=6, batch_size=20, **kwargs)
        drawn = retain.drawn[-6 * 20 :]
        passes = [dict(drawn[k : k + 20]) for k in range(0, len(drawn), 20)]
        assert all(len(one) == 20 for one in passes), "an epoch reads every example once"
        assert len({tuple(sorted(one.items())) for one in passes}) == 6, "draws repeat themselves"
        made.setdefault(seed, []).append(net.state_dict())
    first, again = made[1]
    assert all(torch.equal(first[key], value) for key, value in again.items())
    assert any(not torch.equal(first[key], value) for key, value in made[2][0].items())


def test_streamed_data_give_the_same_model_as_data_in_memory():
    given = {name: list(data) for name, data in datasets().items() if name != "test"}
    held = unlearn_model(network(), "gisa", **given, seed=3)
    streamed = unlearn_model(network(), "gisa", **given, seed=3, memory_gb=0)
    for key, value in held.state_dict().items():
        assert torch.equal(value, streamed.state_dict()[key])


class Answering(nn.Module):
    """Returns what libraries of models return instead of a tensor."""

    def __init__(self, kind: str, seed: int = 0):
        super().__init__()
        self.inner, self.kind = network(seed), kind

    def forward(self, pixel_values):
        logits = self.inner(pixel_values)
        if self.kind == "dict":
            return {"loss": None, "logits": logits}
        return types.SimpleNamespace(logits=logits) if self.kind == "object" else logits


@pytest.mark.parametrize("kind", ["dict", "object"])
def test_networks_that_answer_with_objects(kind):
    sides = {name: data for name, data in datasets().items() if name != "test"}
    made = unlearn_model(Answering(kind), "finetune", **sides, seed=1)
    plain = unlearn_model(Answering("tensor"), "finetune", **sides, seed=1)
    assert type(made) is Answering
    for key, value in plain.state_dict().items():
        assert torch.equal(value, made.state_dict()[key])
    wrapped, bare = (
        evaluate_model(
            Answering(k), retrained=[Answering(k, 1)], original=Answering(k, 2), **datasets(),
            eval="full",
        ).values["model"]
        for k in (kind, "tensor")
    )  # fmt: skip
    assert {k: v for k, v in wrapped.items() if v == v} == {k: v for k, v in bare.items() if v == v}
    assert wrapped["weight_distance/to_original"] > 0


def test_regression_targets():
    real = {name: TensorDataset(d.tensors[0], d.tensors[1] * 0.5) for name, d in datasets().items()}
    problem = problem_from(network(outputs=1), real["forget"], real["retain"])
    assert problem.task.kind == "regression"
    found = evaluate_model(network(outputs=1), retrained=[network(1, outputs=1)], **real)
    predicted = network(outputs=1)(real["test"].tensors[0])[:, 0].detach()
    error = (predicted - real["test"].tensors[1]).abs().double().mean()
    assert found.values["model"]["accuracy/test"] == pytest.approx(float(error))
    assert "mia_entropy/member_rate" not in found.values["model"]
    with pytest.raises(UserError, match="eval.mia_entropy is defined for classification"):
        evaluate_model(network(outputs=1), **real, eval="mia_entropy")


def test_without_retrained_models_distances_have_no_number():
    found = evaluate_model(network(), **datasets())
    assert list(found.rows) == ["model"]
    assert np.isnan(found.values["model"].get("divergence/forget_kl", np.nan))
    assert found.values["model"]["accuracy/test"] >= 0
    assert "No retrained model was given" in found.notes[0]


def test_table_show_repr_and_save(tmp_path, capsys, monkeypatch):
    nets = [network(i) for i in range(8)]
    found = compare_models(
        {"a <b>": nets[:4], "b": nets[4:]},
        retrained=[network(10 + i) for i in range(4)],
        original=network(30),
        **datasets(),
        eval=["accuracy", "divergence", "tug_of_war"],
        resampling=FEW,
    )
    assert list(found.rows) == ["retrained", "original", "a <b>", "b"]
    frame = found.table()
    line = frame[(frame.row == "b") & (frame.metric == "accuracy/test")].iloc[0]
    number = found.numbers["b"]["accuracy/test"]
    assert line.value == number.value and line.n == 4 and line.unit == "share"
    assert (line.low, line.high) == (number.over_models.low, number.over_models.high)
    accuracies = [float((net(X[30:]).argmax(1) == Y[30:]).double().mean()) for net in nets[4:]]
    assert line.value == pytest.approx(np.mean(accuracies))
    assert line["std"] == pytest.approx(np.std(accuracies, ddof=1))
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "pandas", None)
        rows = found.table()
    assert isinstance(rows, list) and rows[0]["row"] == "retrained" and len(rows) == len(frame)
    found.show()
    assert "retrained" in capsys.readouterr().out
    page = found._repr_html_()
    assert "a &lt;b&gt;" in page and "<b>" in page and "a <b>" not in page
    assert "a <b> (n=4" in repr(found)
    opened = found.save(tmp_path / "report", pictures=False)
    assert opened.is_file() and (tmp_path / "report" / "results.csv").is_file()


class Tuples(nn.Flatten):
    def forward(self, x):
        return (super().forward(x),)


BAD = {
    "retain empty": ({"retain": []}, "retain: the dataset is empty"),
    "forget is None": ({"forget": None}, "forget: give the dataset"),
    "test is None": ({"test": None}, "test: give a dataset"),
    "label too large": (
        {"test": TensorDataset(X[30:], Y[30:] + 1)},
        "test: label 3 is out of range for 3 outputs of net",
    ),
    "label negative": ({"retain": TensorDataset(X[:20], Y[:20] - 1)}, "retain: label -1 is out"),
    "shapes": (
        {"retain": TensorDataset(X[:20, :, :1], Y[:20])},
        r"forget: images have shape \(3, 2, 2\) and those of the other sets \(3, 1, 2\)",
    ),
    "test shapes": ({"test": TensorDataset(X[30:, :, :1], Y[30:])}, r"test: images have shape"),
    "kinds": ({"test": TensorDataset(X[30:], Y[30:] * 0.5)}, "test: labels are real numbers and"),
    "kinds in training": ({"forget": TensorDataset(X[20:30], Y[20:30] * 0.5)}, "whole numbers"),
    "regression": (
        {k: TensorDataset(d.tensors[0], d.tensors[1] * 0.5) for k, d in datasets().items()},
        "which means regression, and net has 3 outputs",
    ),
    "one output": ({"net": network(outputs=1), "retrained": []}, "give labels as real numbers"),
    "no network": ({"net": "resnet18"}, "net must be a torch.nn.Module"),
    "output shape": (
        {"net": nn.Conv2d(3, 3, 1), "retrained": []},
        r"for one example the network answers torch.float32 of shape \(1, 3, 2, 2\)",
    ),
    "cannot run": (
        {"net": nn.Linear(7, 3), "retrained": []},
        "net: the network cannot be run on an example of shape",
    ),
    "no logits": ({"net": Tuples(), "retrained": []}, "net: the network returns tuple; it must"),
    "retrained kind": ({"retrained": ["a"]}, r"retrained\[0\] must be a torch.nn.Module"),
    "retrained architecture": (
        {"retrained": [network(1), network(1, outputs=4)]},
        r"retrained\[1\] is of another architecture than net: 3.weight is \(4, 8\) there and \(3,",
    ),
    "original architecture": ({"original": nn.Flatten()}, r"original\[0\] is of another archit"),
    "retain_examples": ({"retain_examples": 0}, "retain_examples must be a whole number above 0"),
    "unknown evaluation": ({"eval": "klomm"}, "unknown eval 'klomm'; there are accuracy"),
    "no evaluation": ({"eval": []}, "name at least one evaluation"),
    "population only": ({"eval": "klom"}, "klom compare populations of models; use compare_models"),
    "settings": ({"eval": {"zrf": {"legasy": True}}}, "did you mean 'legacy'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_wrong_input_is_one_line_that_names_the_argument(name):
    changes, text = BAD[name]
    asked = {"net": network(), "retrained": [network(1)], **datasets(), **changes}
    with pytest.raises(UserError, match=text) as raised:
        evaluate_model(asked.pop("net"), **asked)
    assert "\n" not in str(raised.value)


TWIN = network(1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"retrained": []}, "retrained: at least one retrained model"),
        ({"unlearned": []}, "unlearned: give at least one model"),
        ({"unlearned": {}}, "unlearned: give at least one model"),
        ({"unlearned": {"a": []}}, r"unlearned\['a'\]: give at least one model"),
        ({"unlearned": {"retrained": [network()]}}, "'retrained' is the name of another row"),
        ({"retrained": [TWIN, network(2), TWIN]}, r"retrained\[2\] is the same object as retra"),
        ({"original": [network(2), network(3), network(4)]}, "original: 3 models for the 2 of"),
        ({"control": {"b": [network(5)]}}, "control: b is no row of unlearned"),
        ({"retrained": 3}, "retrained must be a network or a list of them"),
    ],
)
def test_wrong_sets_of_models_are_named(changes, text):
    asked = {"unlearned": [network(8), network(9)], "retrained": [TWIN], **datasets(), **changes}
    with pytest.raises(UserError, match=text) as raised:
        compare_models(**asked, eval="accuracy")
    assert "\n" not in str(raised.value)


def test_models_that_diverged_are_named():
    broken = network(1)
    with torch.no_grad():
        broken[1].weight[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"retrained\[1\]: the network's answers are not finite"):
        evaluate_model(network(), retrained=[network(2), broken], **datasets())


def test_a_layer_that_cannot_be_reset_asks_for_a_fresh_network():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return x + self.shift

    net = nn.Sequential(*network(), Shift())
    with pytest.raises(UserError, match="the layer '4' .*give fresh="):
        evaluate_model(net, **datasets(), eval="zrf")
    found = evaluate_model(net, **datasets(), eval="zrf", fresh=lambda: nn.Sequential(*network(7)))
    assert 0 <= found.values["model"]["zrf/score"] <= 1
    with pytest.raises(UserError, match="fresh must return"):
        evaluate_model(net, **datasets(), eval="zrf", fresh=lambda: None)


def test_whole_classes_show_their_test_images():
    sides = {"retain": Y[:20] != 0, "forget": Y[20:30] == 0}
    given = {
        "retain": TensorDataset(X[:20][sides["retain"]], Y[:20][sides["retain"]]),
        "forget": TensorDataset(X[20:30][sides["forget"]], Y[20:30][sides["forget"]]),
    }
    found = evaluate_model(network(), **datasets(**given), eval="accuracy")
    net, shown = network(), Y[30:] == 0
    right = net(X[30:]).argmax(1) == Y[30:]
    values = found.values["model"]
    assert values["accuracy/forget_test"] == pytest.approx(float(right[shown].double().mean()))
    assert values["accuracy/retain_test"] == pytest.approx(float(right[~shown].double().mean()))
