"""Reference models: what they depend on, and originals trained elsewhere."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.compose import compose_job

from unlearn.comparison.runs import method_groups
from unlearn.errors import UserError
from unlearn.metrics.divergence import js
from unlearn.programs.composing import references_of
from unlearn.programs.unlearn import unlearn
from unlearn.storage.records import read_record
from unlearn.storage.references import drawing_seed

SMALL = ("recipe.epochs=1", "trainer=cpu", "table=false", "logger=none")


def references(home, *overrides):
    job = compose_job(*SMALL, *overrides, home=home)
    return references_of(job)


def test_the_original_does_not_depend_on_the_forget_set_and_the_retrained_does(tmp_path):
    one, other = references(tmp_path), references(tmp_path, "forget.seed=1")
    assert one.address("original", 0) == other.address("original", 0)
    assert one.address("retrained", 0) != other.address("retrained", 0)


def test_retrained_models_start_from_a_fresh_network(tmp_path):
    found = references(tmp_path)
    fresh = found.problem.fresh_network(5).state_dict()
    assert not any(
        torch.equal(fresh[key], value)
        for key, value in found.model("original", 0).tensors.items()
        if value.ndim > 1
    )


def test_missing_references_name_the_command(tmp_path):
    job = compose_job(*SMALL, "references.missing=fail", home=tmp_path)
    with pytest.raises(UserError, match=r"python train\.py role=original seeds=\[0\]"):
        unlearn(job)


def test_an_original_trained_elsewhere_is_used_and_checked(tmp_path):
    net = references(tmp_path / "a").problem.fresh_network(9)
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    own = f"references.original_file={tmp_path / 'own.safetensors'}"
    loaded = references(tmp_path / "b", own).net("original", 0)
    for key, value in net.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])

    job = compose_job(*SMALL, "model.width=8", own, home=tmp_path / "c")
    with pytest.raises(UserError, match="does not fit the model"):
        unlearn(job)
    (tmp_path / "own.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="is no safetensors file"):
        references(tmp_path / "d", own).net("original", 0)


def test_a_damaged_reference_is_named_and_rebuilt_alike(tmp_path, caplog):
    first = references(tmp_path).model("original", 0).tensors
    [file] = (tmp_path / "store" / "original").glob("*/tensors.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    again = references(tmp_path)
    again._nets.clear()
    second = again.model("original", 0).tensors
    assert file.parent.name in caplog.text and "damaged" in caplog.text
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_original_is_shared_by_forget_sets_and_no_retrained_twin_of_it(tmp_path):
    found = references(tmp_path)
    first = found.model("original", 0).tensors
    other = references(tmp_path, "forget.seed=1", "references.missing=fail")
    assert all(torch.equal(first[k], v) for k, v in other.model("original", 0).tensors.items())
    by_class = references(tmp_path, "forget=class", "references.missing=fail")
    assert by_class.bank("original") == [0]
    assert drawing_seed("original", 0) != drawing_seed("retrained", 0)


def test_other_evaluations_of_a_run_without_weights_repeat_it(tmp_path):
    asked = (*SMALL, "method=original", "save_model=false", "eval=[accuracy]")
    first = unlearn(compose_job(*asked, home=tmp_path))
    assert (first["ran"], first["skipped"]) == (1, 0)
    more = unlearn(compose_job(*asked[:-1], "eval=[accuracy,zrf]", home=tmp_path))
    assert more["ran"] == 1 and "zrf/score" in more["metrics"]


def saved(folder, home, seeds):
    """Weights of fresh networks of the default problem; the pattern of their files."""
    folder.mkdir(parents=True, exist_ok=True)
    problem = references(home).problem
    for seed in seeds:
        save_file(problem.fresh_network(seed).state_dict(), folder / f"{seed:02d}.safetensors")
    return f"{folder}/*.safetensors"


def test_another_original_is_another_run(tmp_path):
    """The file of an original is part of a run's identity, in both orders and by its content."""
    one, other = (
        f"references.original_file={saved(tmp_path / f'w{seed}', tmp_path, [seed])[:-13]}"
        f"{seed:02d}.safetensors"
        for seed in (30, 31)
    )
    asked = (*SMALL, "method=original", "eval=accuracy")
    trained = unlearn(compose_job(*asked, home=tmp_path))
    given = unlearn(compose_job(*asked, one, home=tmp_path))
    again = unlearn(compose_job(*asked, other, home=tmp_path))
    assert [trained["ran"], given["ran"], again["ran"]] == [1, 1, 1]
    runs = (trained, given, again)
    assert len({run["folders"][0] for run in runs}) == 3
    assert len({run["metrics"]["accuracy/retain"] for run in runs}) == 3
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "x.safetensors"
    moved.write_bytes((tmp_path / "w30" / "30.safetensors").read_bytes())
    same = unlearn(compose_job(*asked, f"references.original_file={moved}", home=tmp_path))
    assert same["skipped"] == 1 and same["folders"] == given["folders"]
    assert unlearn(compose_job(*asked, home=tmp_path))["metrics"] == trained["metrics"]


def test_runs_of_another_original_are_no_part_of_a_comparison(tmp_path, caplog):
    file = saved(tmp_path / "w", tmp_path, [30]).replace("*", "30")
    given = f"references.original_file={file}"
    asked = (*SMALL, "method=ssd", "eval=accuracy")
    for words in ((), (given,)):
        unlearn(compose_job(*asked, *words, home=tmp_path))
    for words in ((), (given,)):
        [folder] = unlearn(compose_job(*asked, *words, home=tmp_path))["folders"]
        found = references(tmp_path, *words)
        groups = method_groups(
            tmp_path / "runs",
            found.problem,
            found.retain_examples,
            partial(found.weights, "original"),
        ).groups
        [[member]] = [group.members for group in groups]
        kept = read_record(Path(folder)).outputs()["test"].logits
        assert torch.equal(member.read()["test"].logits, kept)
    assert "1 runs started from other original models" in caplog.text


def test_retrained_models_trained_elsewhere_are_the_bank(tmp_path):
    pattern = saved(tmp_path / "theirs", tmp_path, range(40, 43))
    own = (f"references.retrained_files='{pattern}'", "references.missing=fail")
    found = references(tmp_path, *own)
    assert found.bank("retrained") == [0, 1, 2]
    for seed in range(3):
        expected = found.problem.fresh_network(40 + seed).state_dict()
        state = found.net("retrained", seed).state_dict()
        assert all(torch.equal(expected[key], value) for key, value in state.items())
        assert math.isnan(found.costs("retrained", seed)["seconds"])
        assert math.isnan(found.costs("retrained", seed)["steps"])
    with pytest.raises(
        UserError, match=r"references.retrained_files: 3 files .* retrained model 3"
    ):
        found.model("retrained", 3)


def test_runs_are_compared_with_retrained_models_trained_elsewhere(tmp_path):
    pattern = saved(tmp_path / "theirs", tmp_path, range(40, 42))
    words = (f"references.retrained_files='{pattern}'", "references.retrained=2")
    job = compose_job(*SMALL, *words, "method=finetune", "eval=standard", home=tmp_path)
    metrics = unlearn(job)["metrics"]
    found = references_of(job)
    [folder] = unlearn(job)["folders"]
    own = read_record(Path(folder)).outputs()["forget"].logits
    expected = [js(found.outputs("retrained", seed)["forget"].logits, own) for seed in (0, 1)]
    assert metrics["divergence/forget_js"] == pytest.approx(sum(expected) / 2, rel=1e-12)
    assert metrics["cost/retrain_share"] is None and metrics["cost/seconds"] is not None

    # Other files are other references: what was computed beside the first is not taken for them.
    other = saved(tmp_path / "others", tmp_path, range(50, 52))
    words = (f"references.retrained_files='{other}'", "references.retrained=2")
    job = compose_job(*SMALL, *words, "method=finetune", "eval=standard", home=tmp_path)
    assert unlearn(job)["metrics"]["divergence/forget_js"] != metrics["divergence/forget_js"]
