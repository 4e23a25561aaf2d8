"""Every dataset, model and recipe file composes and binds to its signature. None is named here."""

import pytest
from support.compose import compose_job, options

from unlearn.datasets.base import Dataset
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule
from unlearn.programs.building import build
from unlearn.recipes.recipe import Recipe


@pytest.mark.parametrize("name", options("dataset"))
def test_dataset_brings_a_model_a_forget_set_and_a_recipe(name, tmp_path):
    job = compose_job(f"dataset={name}", "logger=none", home=tmp_path)
    assert {"model", "forget", "recipe"} <= set(job.choices)
    assert isinstance(build(job.values["recipe"], "recipe"), Recipe)
    try:
        dataset = build(job.values["dataset"], "dataset")
        assert isinstance(dataset, Dataset)
        assert "Source:" in (type(dataset).__doc__ or "")
        assert isinstance(build(job.values["forget"], "forget"), ForgetRule)
    except UserError as error:  # a setting without a default, such as the folder of own images
        assert "dataset." in str(error)


@pytest.mark.parametrize("name", options("recipe"))
def test_recipe_binds(name, tmp_path):
    job = compose_job(f"recipe={name}", "logger=none", home=tmp_path)
    assert isinstance(build(job.values["recipe"], "recipe"), Recipe)


@pytest.mark.parametrize("group", ["forget", "experiment", "logger", "launcher", "trainer"])
def test_every_option_composes(group, tmp_path):
    for name in options(group):
        compose_job(f"{group}={name}", home=tmp_path)
