"""Models that only look as if they had forgotten are exposed, truly retrained ones are not."""

import pytest
import torch
from support.compose import compose_job

from benchmarks.cheats import (
    CHEATS,
    HONEST,
    NOT_EXPOSED,
    compared,
    exposed_by,
    trained,
    with_margins,
)
from unlearn.comparison.flags import INCOHERENT
from unlearn.comparison.scoring import Resampling
from unlearn.metrics.statistics import logit_margin
from unlearn.programs.composing import problem_of

MODELS = 16
POPULATIONS = ("divergence", "u_lira", "rmia", "klom")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    job = compose_job("recipe.epochs=6", "logger=none", home=tmp_path_factory.mktemp("data"))
    return trained(problem_of(job), MODELS)


@pytest.fixture(scope="module")
def results(bank):
    few = Resampling(models=40, relabellings=99, examples=20)
    return compared(bank, resampling=few, evaluations=POPULATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("cheat", [cheat for cheat in CHEATS if cheat not in NOT_EXPOSED])
def test_every_cheat_is_exposed(cheat, results):
    found = exposed_by(results, cheat)
    assert any(found.values()), f"{cheat} passes for forgetting"


@pytest.mark.slow
def test_truly_retrained_models_are_not(results):
    assert exposed_by(results, HONEST) == {"total": [], "memory": [], "shift": [], "flags": []}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cheat", "flag"),
    [
        ("copied bank", "16 of 16 equal a retrained model"),
        ("half copied", "8 of 16 equal a retrained model"),
        ("half do nothing", "8 of 16 equal the original"),
        ("retrained margins painted", INCOHERENT),
    ],
)
def test_what_equals_known_models_is_counted(cheat, flag, results):
    assert flag in exposed_by(results, cheat)["flags"]


def test_painted_margins_are_those_that_were_asked_for():
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    targets, margins = torch.tensor([0, 1, 2, 3, 0]), torch.linspace(-2, 2, 15).view(3, 5).double()
    painted = with_margins(logits, margins, targets)
    assert torch.allclose(logit_margin(painted, targets).double(), margins, atol=1e-5)
    others = torch.ones(5, 4, dtype=torch.bool)
    others[torch.arange(5), targets] = False
    assert torch.equal(painted[:, others], logits[:, others])
