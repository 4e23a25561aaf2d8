"""What `train.py` logs of reference models, and that logging changes none of them."""

import csv

import pytest
import torch
from support.compose import compose_job

from unlearn.programs.plan import plan_training
from unlearn.programs.train import train


def job(tmp_path, *words):
    paths = [f"paths.{key}={tmp_path / key}" for key in ("store", "runs", "report")]
    return compose_job("recipe.epochs=4", "role=original", *paths, *words, program="train")


def rows(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_model_trained_alone_has_its_curves_and_what_it_ended_with(tmp_path):
    train(job(tmp_path, "logger=csv"))
    [folder] = (tmp_path / "runs" / "reference_models").iterdir()
    learned = rows(folder / "learning.csv")
    assert [(r["epoch"], r["split"]) for r in learned] == [
        (str(epoch), split) for epoch in range(1, 5) for split in ("retain", "test")
    ]
    test = [float(r["value"]) for r in learned if r["split"] == "test"]
    assert test[-1] > test[0], "it learned"
    losses = rows(folder / "losses.csv")
    assert float(losses[-1]["value"]) < float(losses[0]["value"])
    ended = {r["metric"]: float(r["value"]) for r in rows(folder / "metrics.csv")}
    assert ended["accuracy/test"] == pytest.approx(test[-1]) and "accuracy/forget" in ended


def test_members_of_a_bank_have_what_they_ended_with(tmp_path):
    train(job(tmp_path, "logger=csv", "seeds=2", "at_once=2"))
    folders = list((tmp_path / "runs" / "reference_models").iterdir())
    assert len(folders) == 2
    assert all([file.name for file in folder.iterdir()] == ["metrics.csv"] for folder in folders)


def test_nothing_is_written_without_a_logger_and_the_model_is_the_same(tmp_path):
    states = []
    for logger in ("none", "csv"):
        made = job(tmp_path / logger, f"logger={logger}")
        train(made)
        states.append(plan_training(made).references.model("original", 0).tensors)
    assert not (tmp_path / "none" / "runs").exists()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
