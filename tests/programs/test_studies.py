"""A problem of a study gets the values that the study gives it."""

from typing import Any

import pytest
from support.compose import compose_job

from unlearn.programs.building import build

JIT_VGG_EPOCHS = {"cifar10": 25, "cifar20": 50, "cifar100": 210, "pins": 250}
JIT_VIT_EPOCHS = {"cifar10": 8, "cifar20": 9, "cifar100": 8}


def recipe(*words: str) -> dict[str, Any]:
    return compose_job(*words).values["recipe"]


@pytest.mark.parametrize(("dataset", "epochs"), JIT_VGG_EPOCHS.items())
@pytest.mark.parametrize("model", ["vgg11_head", "vgg16"])
def test_a_network_without_batch_norm_gets_a_recipe_that_trains_it(dataset, model, epochs):
    values = recipe(f"dataset={dataset}", f"model={model}")
    assert values["epochs"] == epochs
    assert values["scheduler"]["peak"] <= 0.05


@pytest.mark.parametrize(("dataset", "epochs"), JIT_VIT_EPOCHS.items())
def test_vit_is_fine_tuned_for_the_epochs_of_the_study(dataset, epochs):
    assert recipe(f"dataset={dataset}", "model=vit_b_16")["epochs"] == epochs


def test_other_models_keep_the_recipe_of_the_dataset():
    assert recipe("dataset=cifar100")["epochs"] == 200
    assert recipe("dataset=cifar100")["scheduler"]["peak"] == 0.1
    assert recipe("dataset=cifar10", "model=small_cnn")["epochs"] == 100


def test_a_recipe_that_is_asked_for_goes_before_that_of_the_model():
    assert recipe("dataset=cifar100", "model=vgg11_head", "recipe=cifar_fast")["epochs"] == 24


def test_experiments_of_the_jit_study_have_its_epochs_and_normalisation():
    assert recipe("experiment=cifar100_jit")["epochs"] == 210
    job = compose_job("experiment=cifar10_jit", "method=jit")
    assert job.values["recipe"]["epochs"] == 25
    assert job.values["dataset"]["std"] == [0.26733, 0.25644, 0.27615]
    assert job.values["method"]["sigma"] == 0.01
    assert job.choices["forget"] == "random_83"


SUBCLASS, WHOLE = "cifar20_rocket", "cifar20_vehicles_2"
VALUES: list[tuple[str, str, str, str | None, dict[str, Any]]] = [
    ("ssd", "cifar100", "vgg11_head", None, {"alpha": 10, "dampening": 4, "batch_size": 128}),
    ("ssd", "cifar100", "vit_b_16", None, {"alpha": 3.5, "dampening": 1, "batch_size": 128}),
    ("ssd", "cifar10", "vgg11_head", "random_83", {"dampening": 4, "batch_size": 128}),
    ("ssd", "cifar10", "vit_b_16", "random_83", {"alpha": 3.5, "batch_size": 128}),
    ("ssd", "cifar20", "vgg11_head", WHOLE, {"dampening": 4, "batch_size": 128}),
    ("ssd", "cifar20", "vit_b_16", WHOLE, {"alpha": 3.5, "batch_size": 128}),
    ("ssd", "cifar20", "vgg11_head", SUBCLASS, {"alpha": 5, "dampening": 6, "batch_size": 64}),
    ("ssd", "cifar20", "vit_b_16", SUBCLASS, {"alpha": 10, "dampening": 1, "batch_size": 64}),
    ("ssd", "cifar10", "resnet18", "random_83", {"alpha": 10, "batch_size": 128}),
    ("ssd", "cifar10", "resnet18", None, {"alpha": 10, "batch_size": 128}),
    ("ssd", "cifar100", "resnet18", None, {"alpha": 10, "dampening": 1, "batch_size": 64}),
    ("ssd", "pins", "resnet18", None, {"alpha": 50, "dampening": 0.1, "batch_size": 64}),
    ("finetune", "cifar20", "resnet18", SUBCLASS, {"lr": 0.02, "batch_size": 64}),
    ("finetune", "cifar20", "resnet18", WHOLE, {"lr": 0.02, "batch_size": 128}),
    ("finetune", "cifar100", "resnet18", None, {"lr": 0.02, "batch_size": 128}),
    ("scrub", "cifar20", "vgg11_head", SUBCLASS, {"batch_size": 64, "gradient_clip": None}),
    ("scrub", "cifar20", "vgg11_head", WHOLE, {"batch_size": 128, "gradient_clip": 1}),
    ("jit", "cifar20", "vgg11_head", SUBCLASS, {"sigma": 0.01, "batch_size": 64}),
]
BLINDSPOT = {"retain_scale": None, "retain_fraction": 0.3, "epochs": 1, "weight_decay": 0}
VALUES += [
    ("bad_teacher", dataset, "resnet18", None, {**BLINDSPOT, "batch_size": 256})
    for dataset in ("cifar20", "cifar100")
]


@pytest.mark.parametrize(("method", "dataset", "model", "forget", "values"), VALUES)
def test_values_of_the_jit_and_ssd_studies(method, dataset, model, forget, values):
    words = [f"method={method}", f"dataset={dataset}", f"model={model}"]
    got = compose_job(*words, *([f"forget={forget}"] if forget else [])).values["method"]
    assert {key: got[key] for key in values} == values


PLAIN = {"lr": 1e-3, "weight_decay": 0, "optimizer": "sgd", "batch_size": 64}
MUFAC: dict[str, dict[str, Any]] = {
    "finetune": {**PLAIN, "epochs": 2},
    "advanced_neggrad": {**PLAIN, "epochs": 2, "forget_weight": 1},
    "scrub": {
        **PLAIN,
        "epochs": 2,
        "maximise_epochs": 2,
        "alpha": 1,
        "gamma": 1,
        "first": "retain",
    },
    "neggrad": {**PLAIN, "epochs": None, "steps": 255},
}


@pytest.mark.parametrize("method", MUFAC)
def test_the_mufac_benchmark_runs_its_own_values(method):
    job = compose_job("experiment=mufac_benchmark", f"method={method}")
    got = job.values["method"]
    assert {key: got[key] for key in MUFAC[method]} == MUFAC[method]
    assert job.values["tuned"]["source"].startswith("MUFAC benchmark")
    build(got, "method")


def test_the_report_of_gisa_keeps_its_own_values():
    got = compose_job("experiment=mufac_gisa", "method=finetune").values["method"]
    assert (got["lr"], got["optimizer"], got["epochs"]) == (1e-4, "adam", 1)
