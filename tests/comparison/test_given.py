"""Comparing models at hand gives the numbers of the programs, from networks and from logits."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.compose import compose_job
from torch import nn
from torch.utils.data import TensorDataset

from unlearn.api import compare_logits, compare_models, evaluate_model
from unlearn.comparison.result import NOISE_FLOOR
from unlearn.comparison.scoring import Resampling
from unlearn.data.loaders import Loader
from unlearn.errors import UserError
from unlearn.models.small_cnn import SmallCNN
from unlearn.programs.evaluate import compare
from unlearn.programs.plan import plan_comparison
from unlearn.programs.train import train
from unlearn.programs.unlearn import unlearn
from unlearn.storage.records import read_record

QUICK = ("recipe.epochs=1", "trainer=cpu", "references.retrained=16")
BANK = 16
FEW = Resampling(models=4, relabellings=9, examples=20)


def equal(first, second) -> bool:
    """Equal to the last bit, NaN with NaN, whatever is nested in what."""
    if dataclasses.is_dataclass(first):
        names = [field.name for field in dataclasses.fields(first)]
        return all(equal(getattr(first, n), getattr(second, n)) for n in names)
    if isinstance(first, torch.Tensor):
        return torch.equal(first.nan_to_num(-12345.0), second.nan_to_num(-12345.0))
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    return first == second


# Every evaluation on forgotten images, and what whole classes change on forgotten classes.
PROBLEMS = {
    "images": (("forget=random", "forget.count=30", "forget.fraction=null"), "full"),
    "classes": (("forget=class",), "[accuracy,mia_svc,average_gap,u_lira,klom]"),
}


@pytest.fixture(scope="module", params=PROBLEMS)
def programs(request, tmp_path_factory):
    """Runs and retrained models that the programs made, and their comparison."""
    home = tmp_path_factory.mktemp("home")
    words, evals = PROBLEMS[request.param]
    words = (*QUICK, *words)
    train(compose_job(*words, f"seeds={BANK}", program="train", home=home))
    words = (*words, "logger=none")
    runs = ("eval=[accuracy]", "table=false", "original_seed=seed", "method=finetune", "seeds=8")
    made = unlearn(compose_job(*words, *runs, home=home))["folders"]
    job = compose_job(*words, f"eval={evals}", program="evaluate", home=home)
    plan = dataclasses.replace(plan_comparison(job), resampling=FEW)
    return plan, [Path(folder) for folder in made], compare(plan)


@pytest.fixture(scope="module")
def given(programs):
    """The same models and data as somebody would have them: networks and datasets."""
    plan, runs, _ = programs
    references, problem = plan.references, plan.references.problem
    data = {}
    for name in ("retain", "forget", "test"):
        [batch] = Loader(problem.splits[name], 10**6, torch.device("cpu"))
        data[name] = TensorDataset(batch.x, batch.y)

    def network(state) -> nn.Module:
        net = problem.fresh_network(0)
        net.load_state_dict(state)
        return net.train()

    return {
        "unlearned": {"finetune": [network(read_record(run).state()) for run in runs]},
        "retrained": [references.net("retrained", seed) for seed in range(BANK)],
        "original": [references.net("original", seed) for seed in range(8)],
        **data,
    }


@pytest.fixture(scope="module")
def results(programs, given):
    plan = programs[0]
    return compare_models(
        **given,
        eval=list(plan.yardstick.evaluations),
        fresh=lambda: SmallCNN(in_channels=1, image_size=8, num_outputs=10, width=16, hidden=64),
        resampling=FEW,
    )


def test_the_numbers_are_those_of_the_program(programs, results):
    expected = {row.label: row for row in programs[2].rows}
    assert list(results.rows) == list(expected) == [NOISE_FLOOR, "original", "finetune"]
    compared = 0
    for label, row in expected.items():
        found = results.rows[label]
        assert set(found.numbers) | {"cost/seconds"} >= {
            key for key in row.numbers if not key.startswith("cost/")
        }
        for key, number in row.numbers.items():
            if key.startswith("cost/"):
                continue
            assert equal(found.numbers[key], number), f"{label}: {key}"
            compared += not math.isnan(number.value)
        assert set(found.examples) == set(row.examples) and row.examples
        assert all(equal(found.examples[name], row.examples[name]) for name in row.examples)
        # Nothing is known of starting models but that they are the same: flags agree too.
        assert tuple(found.flags) == tuple(row.flags)
    assert compared > 50
    assert results.pairs and all(
        equal(a, b) for a, b in zip(results.pairs, programs[2].pairs, strict=True)
    )


def test_costs_of_given_models_are_unknown(results):
    for label in (NOISE_FLOOR, "finetune"):
        assert not [key for key in results.numbers[label] if key.startswith("cost/")]


def test_one_model_has_the_numbers_of_its_record(programs, given):
    runs = programs[1]
    record = json.loads((runs[3] / "record.json").read_text())["metrics"]
    data = {name: given[name] for name in ("retain", "forget", "test")}
    found = evaluate_model(
        given["unlearned"]["finetune"][3], retrained=given["retrained"], **data, eval="accuracy"
    )
    shared = {key: value for key, value in record.items() if key.startswith("accuracy/")}
    assert shared and {k: found.values["model"][k] for k in shared} == shared


def test_networks_are_left_as_they_were(given, results):
    for net in (*given["unlearned"]["finetune"], *given["retrained"]):
        assert all(p.grad is None for p in net.parameters())
    assert all(net.training for net in given["unlearned"]["finetune"])
    assert not any(net.training for net in given["retrained"])


@torch.inference_mode()
def logits_of(nets, data) -> np.ndarray:
    modes = [net.training for net in nets]
    found = np.stack([net.eval()(data.tensors[0]).numpy() for net in nets])
    for net, mode in zip(nets, modes, strict=True):
        net.train(mode)
    return found


def test_logits_give_the_numbers_of_the_networks(given, results):
    if "zrf/score" not in results.report.quantities:
        pytest.skip("said for every evaluation on forgotten images")
    splits = ("retain", "forget", "test")

    def arrays(nets):
        return {name: logits_of(nets, given[name]) for name in splits}

    found = compare_logits(
        {"finetune": arrays(given["unlearned"]["finetune"])},
        retrained=arrays(given["retrained"]),
        original=arrays(given["original"]),
        targets={name: given[name].tensors[1].numpy() for name in splits},
        eval="full",
        resampling=FEW,
    )
    for label, row in results.rows.items():
        for key, number in row.numbers.items():
            if key.startswith(("weight_distance/", "zrf/")):
                assert key not in found.numbers[label]
                continue
            assert equal(found.numbers[label][key], number), f"{label}: {key}"


def small(seed: int, outputs: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, outputs))


def datasets(real: bool = False) -> dict[str, TensorDataset]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, 2, 2, generator=generator)
    y = torch.randn(40, generator=generator) if real else torch.arange(40) % 3
    return {
        name: TensorDataset(x[a:b], y[a:b])
        for name, a, b in (("retain", 0, 20), ("forget", 20, 30), ("test", 30, 40))
    }


def test_an_original_passed_as_unlearned_is_at_no_distance_to_itself():
    original = small(0)
    found = evaluate_model(
        original,
        retrained=[original],
        original=original,
        **datasets(),
        eval=["divergence", "weight_distance", "average_gap", "tug_of_war", "accuracy"],
    ).values
    for split in ("retain", "forget", "test"):
        assert found["model"][f"divergence/{split}_kl"] == pytest.approx(0, abs=1e-12)
        assert found["model"][f"divergence/{split}_activation_distance"] == 0
        assert found["model"][f"divergence/{split}_agreement"] == 1
        assert found["model"][f"accuracy/{split}"] == found["original"][f"accuracy/{split}"]
    assert found["model"]["weight_distance/to_original"] == 0
    assert found["model"]["average_gap/gap"] == 0


def test_known_numbers_of_constant_answers():
    """Models that always answer class 0: accuracies are shares of class 0, distances are exact."""

    class Constant(nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = nn.Parameter(torch.tensor(logits))

        def forward(self, x):
            return self.logits.expand(len(x), -1)

    data = datasets()
    found = evaluate_model(
        Constant([1.0, 0.0, 0.0]),
        retrained=[Constant([0.0, 0.0, 0.0]), Constant([0.5, 0.0, 0.0])],
        **data,
        eval=["accuracy", "divergence"],
    )
    own = torch.tensor([1.0, 0.0, 0.0]).double().log_softmax(0)
    others = [torch.tensor([v, 0.0, 0.0]).double().log_softmax(0) for v in (0.0, 0.5)]
    kl = [float((q.exp() * (q - own)).sum()) for q in others]
    assert found.values["model"]["divergence/forget_kl"] == pytest.approx(sum(kl) / 2, rel=1e-5)
    share = float((data["forget"].tensors[1] == 0).double().mean())
    assert found.values["model"]["accuracy/forget"] == pytest.approx(share)
    expected = -others[0][data["forget"].tensors[1]].float()
    loss = found.examples[NOISE_FLOOR]["loss"]
    second = -others[1][data["forget"].tensors[1]].float()
    assert np.allclose(loss, (expected + second).numpy() / 2, rtol=1e-5)


def test_regression_from_networks_and_from_arrays():
    data = datasets(real=True)
    bank = {kind: [small(s, 1) for s in range(i, i + 8)] for i, kind in ((0, "a"), (50, "b"))}
    evals = ["accuracy", "divergence", "klom"]
    nets = compare_models(bank["a"], retrained=bank["b"], **data, eval=evals, resampling=FEW)
    arrays = {
        kind: {name: logits_of(nets_of, d)[..., 0] for name, d in data.items()}
        for kind, nets_of in bank.items()
    }
    targets = {name: d.tensors[1] for name, d in data.items()}
    again = compare_logits(
        arrays["a"], retrained=arrays["b"], targets=targets, eval=evals, resampling=FEW
    )
    error = np.abs(arrays["a"]["test"] - targets["test"].numpy()).mean()
    assert nets.values["unlearned"]["accuracy/test"] == pytest.approx(error, rel=1e-5)
    for key, number in nets.numbers["unlearned"].items():
        assert equal(again.numbers["unlearned"][key], number), key


def test_control_models_give_memory_and_shift():
    nets = {start: [small(start + i) for i in range(8)] for start in (0, 100, 200)}
    shared = {"retrained": [small(300 + i) for i in range(16)], **datasets(), "resampling": FEW}
    found = compare_models(nets[0], control=nets[200], eval="u_lira", **shared)
    named = compare_models(
        {"a": nets[0], "b": nets[100]}, control={"a": nets[200]}, eval="u_lira", **shared
    )
    assert "memory:u_lira/accuracy" in found.numbers["unlearned"]
    assert found.rows["unlearned"].controls == 8
    assert equal(
        found.numbers["unlearned"]["memory:u_lira/accuracy"].value,
        named.numbers["a"]["memory:u_lira/accuracy"].value,
    )
    assert "memory:u_lira/accuracy" not in named.numbers["b"]
    same = compare_models(nets[0], eval="u_lira", **shared)
    assert equal(
        same.numbers["unlearned"]["u_lira/accuracy"], found.numbers["unlearned"]["u_lira/accuracy"]
    )


LOGITS = {name: np.zeros((8, n, 3)) for name, n in (("retain", 20), ("forget", 10), ("test", 10))}
TARGETS = {name: np.zeros(x.shape[1], int) for name, x in LOGITS.items()}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"unlearned": {"forget": LOGITS["forget"]}}, "unlearned must be a mapping with retain"),
        ({"unlearned": {**LOGITS, "test": np.zeros((8, 9, 3))}}, r"unlearned\['test'\] has 9 ex"),
        ({"unlearned": {**LOGITS, "test": np.zeros((7, 10, 3))}}, "numbers of models: retain 8"),
        ({"unlearned": {**LOGITS, "test": np.zeros((8, 10, 4))}}, "different numbers of classes"),
        ({"unlearned": {**LOGITS, "test": np.zeros((10, 3))}}, r"\(models, examples, classes\)"),
        ({"unlearned": {**LOGITS, "test": np.full((8, 10, 3), np.nan)}}, "not finite"),
        ({"unlearned": {n: x[..., :2] for n, x in LOGITS.items()}}, "has 2 classes and retrained"),
        ({"retrained": None}, "retrained must be a mapping"),
        ({"targets": {**TARGETS, "test": np.full(10, 3)}}, "test: label 3 is out of range"),
        ({"targets": {**TARGETS, "test": np.zeros((10, 3))}}, r"targets\['test'\] has shape"),
        ({"targets": {**TARGETS, "test": np.zeros(10)}}, "test: labels are real numbers"),
        ({"original": {n: x[:3] for n, x in LOGITS.items()}}, "original: 3 models for the 8"),
        ({"control": {"b": LOGITS}}, "control: b is no row of unlearned"),
        ({"unlearned": {"retrained": LOGITS}}, "is the name of another row"),
    ],
)
def test_wrong_logits_are_named(changes, text):
    asked = {"unlearned": LOGITS, "retrained": LOGITS, "targets": TARGETS, **changes}
    with pytest.raises(UserError, match=text) as raised:
        compare_logits(**asked, eval="accuracy")
    assert "\n" not in str(raised.value)
