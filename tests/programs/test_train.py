"""What `train.py` logs of reference models, and that logging changes none of them."""

import csv

import pytest
import torch
from support.compose import compose_job

from unlearn.programs.plan import plan_training
from unlearn.programs.train import TrainingLog, train


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


def test_models_trained_one_after_another_have_their_own_curves(tmp_path):
    train(job(tmp_path, "logger=csv", "seeds=2", "at_once=1"))
    folders = list((tmp_path / "runs" / "reference_models").iterdir())
    assert len(folders) == 2
    for name in ("losses.csv", "learning.csv", "metrics.csv"):
        one, other = (rows(folder / name) for folder in folders)
        assert len(one) == len(other) > 0 and one != other
    for folder in folders:
        ended = {r["metric"]: r["value"] for r in rows(folder / "metrics.csv")}
        last = rows(folder / "learning.csv")[-1]
        assert float(ended["accuracy/test"]) == pytest.approx(float(last["value"]))


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_cannot_be_logged_is_one_line_and_loses_no_model(tmp_path, caplog, at_once):
    (tmp_path / "file").write_text("no folder")
    nowhere = f"paths.runs={tmp_path / 'file' / 'runs'}"
    made = job(tmp_path, "logger=csv", "seeds=3", f"at_once={at_once}", "recipe.epochs=1", nowhere)
    assert train(made)["trained"] == [0, 1, 2]
    assert plan_training(made).references.bank("original") == [0, 1, 2]
    assert caplog.text.count("CSV files are missing") == 1


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_model_is_logged_when_nobody_has_to_wait_for_it(tmp_path, monkeypatch, at_once):
    """Its lock is released, and all that were trained with it are in the store."""
    seen = []

    def stored(log, seed):
        references, role = log.plan.references, log.plan.role
        locked = {file.name for file in references.store.root.glob(".locks/.original-*")}
        assert f".original-{references.address(role, seed).code}.lock" not in locked
        seen.append((references.bank(role), len(locked)))

    monkeypatch.setattr(TrainingLog, "stored", stored)
    train(job(tmp_path, "logger=csv", "seeds=3", f"at_once={at_once}", "recipe.epochs=1"))
    if at_once == 1:
        assert seen == [([0], 2), ([0, 1], 1), ([0, 1, 2], 0)]
    else:
        assert seen == [([0, 1, 2], 0)] * 3
