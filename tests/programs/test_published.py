"""Published values of a preset: read, refused, shown only beside the preset's own setting."""

import csv
import re
from pathlib import Path

import pytest
import yaml
from support.compose import CONF, compose_job, options
from support.programs import start

from unlearn.errors import UserError
from unlearn.programs.building import typed
from unlearn.programs.evaluate import evaluate
from unlearn.programs.job import Job
from unlearn.programs.options import EvaluateOptions, TrainOptions, UnlearnOptions
from unlearn.programs.preset import preset_of
from unlearn.programs.unlearn import unlearn

QUICK = ("trainer=cpu", "logger=none", "references.retrained=2")
ROWS = [
    {"method": "original", "quantity": "accuracy/test", "value": 0.0, "tolerance": 1.0},
    {"method": "retrain", "quantity": "accuracy/test", "value": 5.0, "tolerance": 1.0},
    {"method": "finetune", "quantity": "accuracy/test", "value": 0.5, "tolerance": 0.5},
    {"method": "finetune", "quantity": "epsilon_hat/median", "value": 2.0, "tolerance": 9.0},
]
NOT_SHOWN = "published values are not shown, for this is not the preset study"


def folder_with(home: Path, rows: list[dict], name: str = "study", **more: object) -> str:
    """A folder of configs with a preset of the digits, as a user would keep one."""
    folder = home / "own"
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    published = {"study": "A study", "tolerance": "chosen", "rows": rows, **more}
    content = {
        "defaults": [{"override /dataset": "digits"}],
        "recipe": {"epochs": 2},
        "published": published,
    }
    text = f"# @package _global_\n{yaml.safe_dump(content, sort_keys=False)}"
    (folder / "experiment" / f"{name}.yaml").write_text(text)
    return f"hydra.searchpath=[file://{folder}]"


def sourced(rows: list[dict]) -> list[dict]:
    return [{"source": "table 1", **row} for row in rows]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


def job_of(home: Path, *words: str, rows: list[dict] | None = None, **more: object) -> Job:
    program = str(more.pop("program", "unlearn"))
    own = folder_with(home, sourced(ROWS) if rows is None else rows, **more)  # type: ignore[arg-type]
    return compose_job(own, "experiment=study", *QUICK, *words, program=program, home=home)


def test_a_run_of_the_preset_stands_beside_the_published_values(home, capsys):
    unlearn(job_of(home, "method=finetune", "seed=3"))
    printed = capsys.readouterr().out
    table = printed[printed.index("Published by A study") :]
    verdicts = re.findall(r"(\w+) +test \[%\] .* (\d+) +(inside|outside) +table 1", table)
    wanted = [("original", "1", "inside"), ("retrained", "2", "outside")]
    assert verdicts == [*wanted, ("finetune", "1", "inside")]
    assert "Tolerances: chosen." in table
    assert "epsilon_hat/median; eval=[...,epsilon_hat] of evaluate.py" in " ".join(table.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("recipe.epochs=1",), "recipe.epochs is 1, the preset's 2"),
        (("model=resnet18",), "model is resnet18, the preset's small_cnn"),
        (("control=true",), "control is true"),
        (("references.retrained_files=x.safetensors",), "references.retrained_files is x"),
        (("dataset.seed=3", "recipe.batch_size=8"), "dataset.seed is 3, the preset's 0; recipe"),
    ],
)
def test_a_problem_that_is_not_the_preset_s_is_told_and_not_compared(words, said, home):
    job = job_of(home, "method=finetune", *words)
    preset = preset_of(job, typed(job.values, UnlearnOptions), "finetune")
    assert preset is not None
    assert said in "; ".join(preset.differs)
    assert not preset.methods


@pytest.mark.parametrize(
    "words",
    [
        ("seed=7",),
        ("seeds=3", "original_seed=seed"),
        ("dataset=digits", "model=small_cnn", "recipe.epochs=2"),  # said aloud, and the same
        ("paths.data=/elsewhere", "trainer=cpu_bf16", "eval=accuracy"),
    ],
)
def test_seeds_places_and_evaluations_make_no_other_problem(words, home):
    job = job_of(home, "method=finetune", *words)
    preset = preset_of(job, typed(job.values, UnlearnOptions), "finetune")
    assert preset is not None and not preset.differs
    assert preset.methods["finetune"] == job.values["method"]


def test_one_line_says_what_differs(home, capsys):
    unlearn(job_of(home, "method=finetune", "recipe.epochs=1"))
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{NOT_SHOWN}: recipe.epochs is 1, the preset's 2." in printed
    assert "Published by" not in printed and "inside" not in printed


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("original_seed=seed", "every run starts from an original of its own"),
        ("outputs.retain_examples=10", "outputs.retain_examples is 10"),
        ("published.rows.0.tolerance=9", "published is not what the preset says"),
    ],
)
def test_what_makes_numbers_others_makes_another_preset(word, said, home):
    job = job_of(home, "method=finetune", word, starts="one")
    found = preset_of(job, typed(job.values, UnlearnOptions), "finetune")
    assert found is not None and any(said in line for line in found.differs)


def test_other_values_of_the_method_are_not_compared(home, capsys):
    unlearn(job_of(home, "method=finetune", "method.lr=0.5", "seed=4"))
    printed = " ".join(capsys.readouterr().out.split())
    assert "No published value beside finetune" in printed and "method.lr is 0.5" in printed
    assert "finetune test [%]" not in printed
    assert "original test [%]" in printed, "the reference models are still the preset's"


def test_a_method_without_a_published_value_has_none(home, capsys):
    unlearn(job_of(home, "method=ssd"))
    printed = capsys.readouterr().out
    assert "ssd  " not in printed[printed.index("Published by") :]


def test_the_report_shows_them_everywhere(home, tmp_path, capsys):
    unlearn(job_of(home, "method=finetune", "seeds=3", "original_seed=seed", "table=false"))
    unlearn(job_of(home, "method=finetune", "seed=9", "method.lr=0.07", "table=false"))
    few = ("resampling.models=5", "eval=[accuracy]", "pictures=false", f"paths.report={tmp_path}")
    result = evaluate(job_of(home, *few, program="evaluate"))
    printed = capsys.readouterr().out
    folder = Path(result["report"])
    lines = list(csv.DictReader((folder / "published.csv").open()))
    found = {(line["method"], line["row"].split()[0], line["verdict"]) for line in lines}
    assert found == {
        ("original", "original", "inside"),
        ("retrain", "retrained", "outside"),
        ("finetune", "finetune", "inside"),
    }
    finetune = next(line for line in lines if line["method"] == "finetune" and line["n"] == "3")
    assert float(finetune["low_models"]) < float(finetune["measured"])
    assert finetune["source"] == "table 1" and float(finetune["published"]) == 0.5
    for text in (printed, *(folder.joinpath(n).read_text() for n in ("results.md", "index.html"))):
        words = " ".join(text.split())
        assert "Published by A study" in words and "50.00 ± 50.00" in words
        assert "Published and not measured: epsilon_hat/median" in words
        assert "method.lr is 0.07, the preset" in words


def test_a_preset_that_is_scaled_down_gives_no_verdict(home, capsys):
    job = job_of(home, "method=finetune", "seed=5", scaled_down="2 epochs for 200", name="study")
    unlearn(job)
    printed = " ".join(capsys.readouterr().out.split())
    assert "scaled down: not" in printed and "2 epochs for 200" in printed
    assert "50.00 ± 50.00" in printed, "the published value is carried"
    assert " inside " not in printed and " outside " not in printed


BAD = [
    ([{**ROWS[0], "quantity": "accuracy/tset"}], "accuracy measures no 'tset'; did you mean"),
    ([{**ROWS[0], "quantity": "acuracy/test"}], "there is no eval 'acuracy'; did you mean"),
    ([{**ROWS[0], "quantity": "full/test"}], "full is a set of several"),
    ([{**ROWS[0], "method": "finetun"}], "there is no method 'finetun'; did you mean 'finetune'"),
    ([{**ROWS[0], "valeu": 1}], "published.rows[0].valeu: published.rows[0] has no such setting"),
    ([{**ROWS[0], "value": "much"}], "published.rows[0].value must be a number, got 'much'"),
    ([{**ROWS[0], "tolerance": 0}], "accuracy/test of original: tolerance must be above 0"),
    ([{**ROWS[0], "source": " "}], "source is empty"),
    ([{**ROWS[0], "models": 0}], "models must be at least 1"),
    ([ROWS[0], {**ROWS[0], "value": 1}], "accuracy/test of original is there twice"),
    ([{**ROWS[0], "settings": {"delta": 1}}], "accuracy has no setting 'delta'"),
    (["a"], "published.rows must be a list of which each is a mapping of settings"),
]


@pytest.mark.parametrize(("rows", "said"), BAD)
def test_mistakes_are_one_line(rows, said, tmp_path):
    rows = [r if isinstance(r, str) else {"source": "table 1", **r} for r in rows]
    job = job_of(tmp_path, rows=rows)
    with pytest.raises(UserError) as error:
        preset_of(job, typed(job.values, UnlearnOptions), "gisa")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_row_without_a_value_or_source_is_refused(tmp_path):
    for missing in ("quantity", "value", "tolerance", "source"):
        rows = [{k: v for k, v in sourced(ROWS)[0].items() if k != missing}]
        job = job_of(tmp_path, rows=rows)
        with pytest.raises(UserError, match=rf"published.rows\[0\].{missing} is missing"):
            typed(job.values, UnlearnOptions)


def test_published_values_need_a_preset():
    job = compose_job("+published.study=a", "+published.tolerance=b", "+published.rows=[]")
    with pytest.raises(UserError, match="experiment=NAME"):
        preset_of(job, typed(job.values, UnlearnOptions), "gisa")


@pytest.mark.slow
def test_the_programs_read_a_preset_of_a_folder_of_one_s_own(tmp_path):
    folder_with(tmp_path, sourced(ROWS))
    words = ("--config-dir", str(tmp_path / "own"), "experiment=study", *QUICK)
    ran = start("unlearn", *words, "method=finetune", "-m", "seed=0,1", "table=true", cwd=tmp_path)
    assert ran.stdout.count("Published by A study") == 2, ran.stderr
    folder_with(tmp_path, [{**sourced(ROWS)[0], "quantity": "accuracy/tset"}])
    ran = start("unlearn", *words, cwd=tmp_path)
    assert ran.returncode == 2
    [line] = ran.stderr.splitlines()
    assert "accuracy measures no 'tset'" in line


@pytest.mark.parametrize("experiment", options("experiment"))
def test_the_presets_that_come_with_the_project(experiment):
    words = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())
    job = compose_job(f"experiment={experiment}", program="evaluate")
    preset = preset_of(job, typed(job.values, EvaluateOptions))
    if "published" not in words:
        assert preset is None
        return
    assert preset is not None and preset.published.rows and not preset.differs
    named = {r.method for r in preset.published.rows} - {"original", "retrain"}
    assert set(preset.methods) == named
    job = compose_job(f"experiment={experiment}", "method=scrub")
    of_a_run = preset_of(job, typed(job.values, UnlearnOptions), "scrub")
    assert of_a_run is not None and not of_a_run.differs
    assert set(of_a_run.methods) == named & {"scrub"}
    assert typed(compose_job(f"experiment={experiment}", program="train").values, TrainOptions)
