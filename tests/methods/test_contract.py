"""Every file of conf/method keeps the contract. No method is named here."""

import copy
import inspect
import math
from pathlib import Path

import pytest
import torch
from support.compose import compose_job, options
from support.given import given_values

from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.programs.building import build
from unlearn.programs.composing import problem_of, references_of, settings_of
from unlearn.programs.unlearn import unlearn
from unlearn.storage.predictions import collect
from unlearn.storage.records import read_record
from unlearn.training.fit import fit

# Small enough for a test, trained enough for a method to have something to forget.
SMALL = ("recipe.epochs=2", "trainer=cpu", "eval=standard", "table=false", "logger=none")
FORGET_SETS = ("random_10_percent", "class", "subclass")


def job_for(method: str, home, *overrides: str):
    """The job of a method on the first kind of forget set that it supports."""
    reason = None
    given = given_values("method", method, home)
    for forget in FORGET_SETS:
        words = (f"method={method}", f"forget={forget}", *given, *SMALL, *overrides)
        job = compose_job(*words, home=home)
        module = build(job.values["method"], "method")
        try:
            problem = problem_of(job)
            module.check_supports(problem.view(module.requires))
        except UserError as error:
            reason = error
            continue
        return job, problem
    raise AssertionError(f"{method} supports none of {FORGET_SETS}: {reason}")


def run(job, problem):
    """The method's network and view after a run, through the path of the programs."""
    method = build(job.values["method"], "method")
    references = references_of(job)
    view = problem.view(method.requires)
    net = references.net("original", 0)
    fit(method, net, view, seed=3, settings=settings_of(job))
    return method, view


@pytest.mark.parametrize("name", options("method"))
def test_method_keeps_the_contract(name, home):
    job, problem = job_for(name, home)
    references = references_of(job)
    original = references.net("original", 0)
    stored = copy.deepcopy(references.model("original", 0).tensors)

    method, view = run(job, problem)

    before, after = original.state_dict(), method.net.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    assert [p.requires_grad for p in original.parameters()] == [
        p.requires_grad for p in method.net.parameters()
    ]
    assert not method.net.training
    outputs = collect(method.net, problem, problem.splits, settings_of(job), None)
    assert all(torch.isfinite(p.logits).all() for p in outputs.values())
    assert view.reads <= set(method.requires)
    for key, value in references.model("original", 0).tensors.items():
        assert torch.equal(value, stored[key]), "the stored original was changed"

    again, _ = run(job, problem)
    for key, value in again.net.state_dict().items():
        assert torch.equal(value, after[key]), f"{key} differs between two runs of one seed"


@pytest.mark.parametrize("name", options("method"))
def test_record_is_complete_and_the_run_is_skipped_next_time(name, home):
    job, _ = job_for(name, home)
    first = unlearn(job)
    assert first["ran"] == 1
    [folder] = first["folders"]
    record = read_record(Path(folder))
    assert record is not None
    document = record.document
    assert document["status"] == "complete"
    wanted = {"problem", "method", "seed", "original_seed", "metrics", "costs", "data_access"}
    assert wanted | {"versions", "config", "evaluations", "overrides"} <= set(document)
    assert all(v is None or math.isfinite(v) for v in document["metrics"].values())
    assert document["metrics"]["accuracy/test"] is not None
    assert unlearn(job)["skipped"] == 1


@pytest.mark.parametrize("name", options("method"))
def test_docstring_says_source_data_and_differences(name, home):
    job = compose_job(f"method={name}", "forget=class", *given_values("method", name, home))
    text = inspect.getdoc(type(build(job.values["method"], "method"))) or ""
    for heading in ("Source:", "Reads:", "Differs from the official code:"):
        assert heading in text, f"{name}: no {heading!r} in the class docstring"


def test_reading_an_undeclared_split_raises(home):
    class Greedy(UnlearningMethod):
        requires = ("forget",)

        def phases(self):
            data = self.data.retain
            return [Phase("all", data, 1, optimizer=torch.optim.SGD)]

    job = compose_job(*SMALL, home=home)
    problem = problem_of(job)
    net = problem.fresh_network(0)
    with pytest.raises(UserError, match="'retain'.*requires"):
        fit(Greedy(), net, problem.view(Greedy.requires), seed=0, settings=settings_of(job))


def test_a_loss_that_is_not_finite_stops_with_step_and_phase(home):
    class Diverging(UnlearningMethod):
        requires = ("forget",)

        def phases(self):
            return [
                Phase("first", "forget", 1, lambda p: torch.optim.SGD(p, lr=0.0), batch_size=64),
                Phase("blow", "forget", 1, lambda p: torch.optim.SGD(p, lr=0.0), batch_size=64),
            ]

        def loss(self, batch):
            loss = self.net(batch.x).square().mean()
            return loss / 0 if self.steps_done == 4 else loss

    job = compose_job(*SMALL, home=home)
    problem = problem_of(job)
    with pytest.raises(UserError, match=r"Diverging: the loss is inf at step 5, in phase 'blow'"):
        fit(
            Diverging(),
            problem.fresh_network(0),
            problem.view(("forget",)),
            seed=0,
            settings=settings_of(job),
        )
