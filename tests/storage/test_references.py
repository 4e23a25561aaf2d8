"""Reference models: what they depend on, and originals trained elsewhere."""

import pytest
import torch
from safetensors.torch import save_file
from support.compose import compose_job

from unlearn.errors import UserError
from unlearn.programs.plan import references_of
from unlearn.programs.unlearn import unlearn
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
