"""Control runs from command to report: recorded apart, resumed, never mixed with others."""

import json
from pathlib import Path

import pytest
from support.compose import compose_job

from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.errors import UnsupportedProblem
from unlearn.programs.composing import problem_of
from unlearn.programs.evaluate import compare
from unlearn.programs.plan import plan_comparison, plan_unlearning
from unlearn.programs.seeds import control_start
from unlearn.programs.train import train
from unlearn.programs.unlearn import unlearn

QUICK = ("recipe.epochs=1", "trainer=cpu", "logger=none")
RUN = (*QUICK, "table=false", "eval=accuracy", "method=finetune", "original_seed=seed")
FEW = ("resampling.models=10", "resampling.relabellings=19", "resampling.examples=20")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    train(compose_job(*QUICK[:2], "seeds=16", program="train", home=folder))
    unlearn(compose_job(*RUN, "seeds=8", home=folder))
    unlearn(compose_job(*RUN, "seeds=8", "control=true", home=folder))
    return folder


def documents(home: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in home.glob("runs/**/record.json")]


def test_records_say_where_a_control_run_started_and_what_it_forgot(home):
    problem = problem_of(compose_job(*QUICK, home=home))
    found = [d for d in documents(home) if d["control"]]
    assert len(found) == 8 and len(documents(home)) == 16
    own = set(problem.forget_rows.tolist())
    for document in found:
        start = document["control"]["retrained_seed"]
        assert start == control_start(document["seed"]) and document["original_seed"] is None
        forgotten = document["control"]["forget_indices"]
        assert len(forgotten) == len(own) and not own & set(forgotten)
        assert set(document["problem"]["forget_indices"]) == own
    assert len({tuple(d["control"]["forget_indices"]) for d in found}) == 8


def test_a_second_start_skips_both_kinds(home):
    for more in ((), ("control=true",)):
        assert unlearn(compose_job(*RUN, "seeds=8", *more, home=home))["skipped"] == 8


def test_the_report_has_memory_and_shift_and_no_row_of_control_runs(home):
    job = compose_job(*QUICK, *FEW, "eval=[accuracy,u_lira]", program="evaluate", home=home)
    report = compare(plan_comparison(job))
    assert [row.label for row in report.rows] == ["retrained", "original", "finetune"]
    row = report.rows[-1]
    assert len(row.runs) == 8 and row.controls == 8
    for prefix in (MEMORY, SHIFT):
        assert row.numbers[f"{prefix}u_lira/accuracy"].n == 8
    assert not any("Total alone" in note for note in report.notes)


def test_starts_are_none_of_the_models_that_populations_are_compared_with():
    assert {control_start(seed) % 2 for seed in range(100)} == {1}


def test_whole_classes_are_refused_with_the_reason(tmp_path):
    job = compose_job(*RUN, "forget=class", "control=true", home=tmp_path)
    with pytest.raises(UnsupportedProblem, match="a class forgotten as a whole"):
        plan_unlearning(job)
