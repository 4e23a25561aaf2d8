"""Every dataset, model and recipe file composes and binds to its signature. None is named here."""

import pytest
import yaml
from support.compose import CONF, compose_job, options

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


def test_tuned_files_fit_a_method_a_model_and_a_dataset():
    names = {group: options(group) for group in ("dataset", "model", "method")}
    for tuned in options("tuned"):
        fits = [
            (d, m, u)
            for d in names["dataset"]
            for m in names["model"]
            for u in names["method"]
            if tuned == f"{d}_{m}_{u}"
        ]
        assert fits, f"conf/tuned/{tuned}.yaml is chosen by no dataset, model and method"
        dataset, model, method = fits[0]
        job = compose_job(f"dataset={dataset}", f"model={model}", f"method={method}")
        build(job.values["method"], "method")


def chosen_by(tuned: str) -> list[tuple[str, str, str, str]]:
    """Dataset, model, forget set and method that choose a file of conf/tuned/by_forget."""
    return [
        (dataset, model, tuned[len(start) : -len(method) - 1], method)
        for dataset in options("dataset")
        for model in options("model")
        for method in options("method")
        if tuned.startswith(start := f"{dataset}_{model}_") and tuned.endswith(f"_{method}")
        if tuned[len(start) : -len(method) - 1] in options("forget")
    ]


@pytest.mark.parametrize("tuned", options("tuned/by_forget"))
def test_tuned_files_of_a_forget_set_win_over_all_others(tuned):
    fits = chosen_by(tuned)
    assert fits, f"conf/tuned/by_forget/{tuned}.yaml is chosen by no dataset, model, forget, method"
    dataset, model, forget, method = fits[0]
    job = compose_job(
        f"dataset={dataset}", f"model={model}", f"forget={forget}", f"method={method}"
    )
    build(job.values["method"], "method")
    file = yaml.safe_load((CONF / f"tuned/by_forget/{tuned}.yaml").read_text())
    for key, value in file.get("method", {}).items():
        assert job.values["method"][key] == value
    # A file without values stands for another forget set's: it must have some of its own.
    for other in file.get("defaults", []):
        assert (CONF / f"tuned/by_forget/{other}.yaml").exists()


def test_tuned_files_of_the_default_forget_set_are_found_without_naming_it():
    default = compose_job("dataset=cifar20", "model=vgg11_head", "method=jit").config.method
    whole = compose_job(
        "dataset=cifar20", "model=vgg11_head", "method=jit", "forget=cifar20_vehicles_2"
    ).config.method
    assert (default.sigma, default.batch_size) == (0.01, 64)
    assert (whole.sigma, whole.batch_size) == (0.5, 128)
