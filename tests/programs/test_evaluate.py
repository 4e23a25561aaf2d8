"""evaluate.py from runs to report, on models that were really trained, for a moment."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.compose import compose_job

from unlearn.comparison.result import NOISE_FLOOR, ComparisonReport
from unlearn.errors import UserError
from unlearn.programs import evaluate as comparison
from unlearn.programs.job import Job
from unlearn.programs.plan import plan_comparison
from unlearn.programs.train import train
from unlearn.programs.unlearn import unlearn

QUICK = ("recipe.epochs=2", "trainer=cpu", "logger=none")
FEW = ("resampling.models=10", "resampling.examples=50")


def job_of(program: str, home: Path, *overrides: str) -> Job:
    return compose_job(*QUICK, *overrides, program=program, home=home)


def compare(home: Path, *overrides: str) -> ComparisonReport:
    return comparison.compare(plan_comparison(job_of("evaluate", home, *FEW, *overrides)))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Sixteen retrained models, eight runs with an original each, three and two of one original."""
    folder = tmp_path_factory.mktemp("home")
    train(compose_job(*QUICK[:2], "seeds=16", program="train", home=folder))
    bank = ("method=finetune", "seeds=8", "original_seed=seed", "table=false", "eval=standard")
    unlearn(job_of("unlearn", folder, *bank))
    few = ("table=false", "eval=accuracy")
    unlearn(job_of("unlearn", folder, "method=neggrad", "seeds=3", *few))
    unlearn(job_of("unlearn", folder, "method=ssd", "seeds=2", *few))  # without chance: one model
    return folder


@pytest.fixture(scope="module")
def report(home) -> ComparisonReport:
    return compare(home, "eval=full")


def test_rows(report):
    labels = {row.label: row for row in report.rows}
    assert list(labels) == [NOISE_FLOOR, "original", "finetune", "neggrad", "ssd"]
    assert [len(row.runs) for row in report.rows] == [16, 8, 8, 3, 1]
    assert labels["finetune"].starts == "each" and labels["neggrad"].starts == "one"


def test_runs_without_chance_on_one_original_are_one_model(report):
    assert "2 runs, 1 different" in report.rows[4].flags
    assert any("share one original model: neggrad, ssd" in note for note in report.notes)


def test_populations_use_as_many_models_as_the_noise_floor(report):
    for row in report.rows[:3]:
        assert row.numbers["u_lira/accuracy"].n == 8
        assert row.numbers["forgetting_quality/score"].protocol == "competition, delta 1e-05"
    floor = report.rows[0].numbers
    assert floor["u_lira/auc"].over_models.low <= 0.5 <= floor["u_lira/auc"].over_models.high
    too_few = floor["u_lira/accuracy"].over_models
    assert np.isnan(too_few.low) and "it takes 16 models" in too_few.note


def test_what_a_number_is_not_told_apart_from(report):
    finetune = report.rows[2].numbers
    assert finetune["u_lira/accuracy"].as_retrained is not None
    assert finetune["accuracy/test"].as_nothing is not None
    assert finetune["cost/seconds"].as_nothing is None  # no matter of chance
    assert report.rows[0].numbers["u_lira/accuracy"].as_retrained is None
    assert report.rows[1].numbers["u_lira/accuracy"].as_nothing is None


def test_too_few_models_give_no_number_but_the_line_that_makes_them(report):
    few = report.rows[3].numbers
    assert np.isnan(few["klom/mean"].value) and "8 are needed" in few["klom/mean"].note
    assert not np.isnan(few["tug_of_war/score"].value)  # it needs two models only
    note = next(n for n in report.notes if n.startswith("No number (-): neggrad has 3 models"))
    assert "klom (its authors used 100)" in note
    command = note.split("python ")[1]
    assert command.startswith("unlearn.py") and command.endswith("seeds=8")
    assert "method=neggrad" in command and "recipe.epochs=2" in command and "eval=" not in command


def test_numbers_of_single_models_are_those_of_the_records(home, report):
    finetune = next(row for row in report.rows if row.label == "finetune")
    for run in finetune.runs:
        file = next(home.glob(f"runs/*/finetune-*/original{run['seed']}_seed{run['seed']}"))
        kept = json.loads((file / "record.json").read_text())["metrics"]
        shared = {key for key in kept if key in run["metrics"] and kept[key] is not None}
        assert {"accuracy/test", "divergence/forget_js", "cost/seconds"} <= shared
        assert all(run["metrics"][key] == kept[key] for key in shared)
    number = finetune.numbers["accuracy/test"]
    values = [run["metrics"]["accuracy/test"] for run in finetune.runs]
    assert number.value == pytest.approx(np.mean(values))
    assert number.std == pytest.approx(np.std(values, ddof=1)) and number.n == 8
    retrained = [run["metrics"]["accuracy/test"] for run in report.rows[0].runs]
    assert number.gap.estimate == pytest.approx(np.mean(values) - np.mean(retrained))


def test_an_evaluation_changes_no_other_number(home, report):
    alone = compare(home, "eval=[accuracy,klom]")
    for row, full in zip(alone.rows, report.rows, strict=True):
        assert row.label == full.label and set(row.numbers) < set(full.numbers)
        for key, number in row.numbers.items():
            assert number.value == full.numbers[key].value or np.isnan(number.value)


def test_pairs_are_corrected_and_of_rows_with_as_many_models(report):
    assert report.pairs and all(p.p_holm >= p.p_value for p in report.pairs)
    klom = {(p.first, p.second): p.n for p in report.pairs if p.metric == "klom/mean"}
    assert klom == {
        (NOISE_FLOOR, "original"): 8,
        (NOISE_FLOOR, "finetune"): 8,
        ("original", "finetune"): 8,
    }
    assert not [p for p in report.pairs if p.metric.startswith("cost/")]


def test_the_program_writes_everything_and_repeats_itself(home, capsys):
    job = job_of("evaluate", home, *FEW, "eval=full")
    result = comparison.evaluate(job)
    printed = capsys.readouterr().out
    assert "finetune" in printed and NOISE_FLOOR.split()[0] in printed
    folder = Path(result["report"])
    names = {path.name for path in folder.iterdir()}
    assert {"results.csv", "results.md", "results.tex", "index.html", "examples.npz"} <= names
    assert {"forgetting_and_utility.png", "worst_forgotten.svg"} <= names
    first = (folder / "results.csv").read_text()
    lines = list(csv.DictReader(first.splitlines()))
    assert sum(li["method"] == "neggrad" and li["metric"] == "nomus/score" for li in lines) == 3 + 1
    examples = np.load(folder / "examples.npz")
    for name in ("klom", "epsilon_hat", "epsilon", "u_lira"):
        assert examples[f"finetune/{name}"].shape == examples["index"].shape == (144,)
    comparison.evaluate(job)
    assert (folder / "results.csv").read_text() == first


def test_nothing_to_compare_is_one_clear_line(home, tmp_path):
    with pytest.raises(UserError, match=r"no finished run .* python unlearn\.py .*recipe"):
        compare(tmp_path)
    shutil.copytree(home / "runs", tmp_path / "runs")
    with pytest.raises(UserError, match=r"no retrained model .* python train\.py seeds=16"):
        compare(tmp_path)


def test_runs_of_another_problem_are_left_alone(home):
    with pytest.raises(UserError, match="no finished run"):
        compare(home, "forget.fraction=0.2")
