"""Models that other people's code has unlearned are evaluated and compared like our own."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.compose import compose_job

from unlearn.comparison.runs import method_groups
from unlearn.errors import UserError
from unlearn.programs.composing import problem_of, references_of
from unlearn.programs.unlearn import unlearn
from unlearn.storage.predictions import collect
from unlearn.storage.records import read_record
from unlearn.training.trainer import TrainerSettings

QUICK = ("recipe.epochs=1", "trainer=cpu", "logger=none", "table=false", "eval=standard")


def job(home: Path, pattern: str, *overrides: str):
    words = (*QUICK, "method=external", f"method.files='{pattern}'", *overrides)
    return compose_job(*words, home=home)


def save_networks(folder: Path, seeds: range) -> None:
    """Weights of fresh networks of the default problem, one file a seed."""
    folder.mkdir(parents=True, exist_ok=True)
    problem = problem_of(compose_job(*QUICK, home=folder.parent))
    for seed in seeds:
        save_file(problem.fresh_network(seed).state_dict(), folder / f"{seed:02d}.safetensors")


def metrics(folder: str) -> dict[str, float | None]:
    return json.loads((Path(folder) / "record.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    save_networks(folder / "theirs", range(10, 13))
    return folder


@pytest.fixture(scope="module")
def runs(home) -> list[str]:
    return unlearn(job(home, f"{home}/theirs/*.safetensors", "seeds=3"))["folders"]


def test_the_run_of_a_seed_has_the_outputs_of_its_file(home, runs):
    problem = problem_of(compose_job(*QUICK, home=home))
    for seed, folder in enumerate(runs):
        net = problem.fresh_network(10 + seed)
        expected = collect(net, problem, ["forget"], TrainerSettings("cpu"), None)["forget"]
        kept = read_record(Path(folder)).outputs()["forget"]
        assert torch.equal(kept.logits, expected.logits)
    assert len(set(runs)) == 3


def test_costs_are_unknown_and_not_zero(runs):
    found = metrics(runs[0])
    costs = {key: value for key, value in found.items() if key.startswith("cost/")}
    assert costs and all(value is None for value in costs.values()), costs
    assert found["accuracy/test"] is not None


def test_identity_is_the_content_and_not_the_place(home, runs):
    shutil.copytree(home / "theirs", home / "moved")
    names = [f"{home}/moved/{seed}.safetensors" for seed in (10, 11, 12)]
    moved = unlearn(job(home, f"{home}/moved/*.safetensors", "seeds=3"))
    assert moved["ran"] == 0 and moved["folders"] == runs
    listed = compose_job(*QUICK, "method=external", f"method.files={names}", "seeds=3", home=home)
    assert unlearn(listed)["folders"] == runs


def test_a_replaced_file_is_a_new_run_in_place_of_the_old_one(home, runs):
    folder = home / "replaced"
    save_networks(folder, range(20, 23))
    first = unlearn(job(home, f"{folder}/*.safetensors", "seeds=3"))
    state = problem_of(compose_job(*QUICK, home=home)).fresh_network(99).state_dict()
    save_file(state, folder / "21.safetensors")
    second = unlearn(job(home, f"{folder}/*.safetensors", "seeds=3"))
    assert (second["ran"], second["skipped"]) == (1, 2)
    assert [a == b for a, b in zip(first["folders"], second["folders"], strict=True)] == [
        True,
        False,
        True,
    ]
    found = references_of(job(home, f"{folder}/*.safetensors"))
    groups = method_groups(home / "runs", found.problem, found.retain_examples).groups
    ours = {group.label: group for group in groups if group.kind == "method"}
    assert len(ours) == 2, "two sets of files are two rows"
    [row] = [group for label, group in ours.items() if "replaced" in label]
    assert [member.seed for member in row.members] == [0, 1, 2]
    wanted = read_record(Path(second["folders"][1])).outputs()["forget"].logits
    assert torch.equal(row.members[1].read()["forget"].logits, wanted)


def test_more_seeds_than_files_is_one_clear_line(home):
    with pytest.raises(UserError, match=r"there are 3 files, and the run of seed 3 takes file 4"):
        unlearn(job(home, f"{home}/theirs/*.safetensors", "seeds=4"))


@pytest.mark.parametrize(
    ("pattern", "words", "text"),
    [
        ("nothing/*.safetensors", (), "method.files: no file matches"),
        ("theirs/*.safetensors", ("model.width=8",), "method.files: .*does not fit the model"),
        ("broken/*.safetensors", (), "is no safetensors file"),
        ("infinite/*.safetensors", (), "holds values that are not finite"),
    ],
)
def test_files_that_cannot_be_used_are_named(home, pattern, words, text):
    for name in ("broken", "infinite"):
        (home / name).mkdir(exist_ok=True)
    (home / "broken" / "a.safetensors").write_bytes(b"pickle")
    problem = problem_of(compose_job(*QUICK, home=home))
    state = problem.fresh_network(0).state_dict()
    next(iter(state.values())).fill_(float("nan"))
    save_file(state, home / "infinite" / "a.safetensors")
    with pytest.raises(UserError, match=text):
        unlearn(job(home, f"{home}/{pattern}", *words))


def test_without_files_the_setting_is_named(home):
    with pytest.raises(UserError, match="method.files must be"):
        unlearn(compose_job(*QUICK, "method=external", home=home))
