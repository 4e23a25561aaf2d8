"""Regression from images to epsilon-hat: AgeDB's layout, ages in years, whole identities."""

import csv

import pytest
from support.compose import compose_job
from support.image_trees import write_agedb

from unlearn.errors import UserError
from unlearn.programs.composing import evaluations_of, problem_of
from unlearn.programs.evaluate import evaluate
from unlearn.programs.train import train
from unlearn.programs.unlearn import unlearn


def problem_overrides(root):
    return (
        "dataset=agedb",
        f"dataset.root={root}",
        "dataset.side=16",
        "model=small_cnn",
        "recipe=faces_fast",
        "recipe.epochs=2",
        "forget.fraction=0.2",
        "trainer=cpu",
    )


@pytest.mark.slow
def test_regression_end_to_end_with_epsilon_hat(tmp_path):
    root = write_agedb(tmp_path / "agedb", people=12, images=6)
    common = problem_overrides(root)
    train(compose_job(*common, "seeds=8", program="train", home=tmp_path))
    unlearn(
        compose_job(
            *common, "method=finetune", "method.epochs=1", "seeds=8", "logger=none", home=tmp_path
        )
    )
    asked = ("eval=[accuracy,epsilon_hat,klom]", "pictures=false", "logger=none")
    evaluate(compose_job(*common, *asked, program="evaluate", home=tmp_path))
    rows = list(csv.DictReader(next((tmp_path / "report").glob("*/results.csv")).open()))
    assert any("epsilon_hat" in str(row) for row in rows)


def test_a_preset_leaves_out_what_a_task_does_not_have_and_a_name_refuses(tmp_path):
    root = write_agedb(tmp_path / "agedb", people=12, images=6)
    common = problem_overrides(root)
    job = compose_job(*common, home=tmp_path)
    chosen = evaluations_of(job, problem_of(job))
    assert "accuracy" in chosen and "mia_entropy" not in chosen
    job = compose_job(*common, "eval=mia_entropy", home=tmp_path)
    with pytest.raises(UserError, match=r"eval\.mia_entropy is defined for classification"):
        evaluations_of(job, problem_of(job))
