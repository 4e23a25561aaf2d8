"""SCRUB: the authors' weights, and two steps by hand."""

import pytest
import torch
import torch.nn.functional as F
from support.problems import Golden, assert_refused, assert_state

from unlearn.api import unlearn_model
from unlearn.data.loaders import Loader
from unlearn.methods.scrub import SCRUB
from unlearn.programs.building import build
from unlearn.programs.chosen import shipped_config


def test_scrub_gives_the_authors_weights(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loader, "order", lambda self: torch.arange(len(self.split)))
    settings = {"alpha": 0.5, "gamma": 1.0, "temperature": 4.0, "lr": 0.05, "weight_decay": 0.0}
    steps = {"epochs": 1, "maximise_epochs": 1, "batch_size": 16, "optimizer": "sgd"}
    net = unlearn_model(
        golden.net, "scrub", forget=golden.forget, retain=golden.retain, **settings, **steps
    )
    golden.assert_state(net, "scrub")


@pytest.mark.parametrize(
    ("first", "passes"), [("forget", "mx mn mx mn mn"), ("retain", "mn mx mn mx mn")]
)
def test_the_pass_that_comes_first(golden: Golden, first: str, passes: str) -> None:
    values = {**shipped_config("method", "scrub"), "first": first}
    assert (values["epochs"], values["maximise_epochs"]) == (3, 2)
    method = build(values, "method", SCRUB)
    names = {"maximise": "mx", "minimise": "mn"}
    assert " ".join(names[phase.name] for phase in method.phases()) == passes


def test_an_unknown_first_pass_is_named() -> None:
    assert_refused("scrub", "method.first", first="both")


def test_scrub_keeps_its_momentum_between_passes(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maximise over one batch, minimise over one: by hand with a single optimizer."""
    forget, retain = golden.forget, golden.retain
    settings = {"alpha": 0.5, "gamma": 1.0, "temperature": 4.0, "lr": 0.05, "weight_decay": 0.01}
    steps = {"epochs": 2, "maximise_epochs": 1, "batch_size": 64, "optimizer": "momentum"}
    monkeypatch.setattr(Loader, "order", lambda self: torch.arange(len(self.split)))
    unlearned = unlearn_model(
        golden.net, "scrub", forget=forget, retain=retain, **settings, **steps
    )
    net, teacher = golden.network("original"), golden.net.eval()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for sign, data in ((-1, forget), (1, retain), (1, retain)):
        x, y = data.tensors
        outputs = net(x)
        log_p = (outputs / 4).log_softmax(1)
        kd = 16 * F.kl_div(log_p, (teacher(x) / 4).softmax(1).detach(), reduction="batchmean")
        loss = -kd if sign < 0 else F.cross_entropy(outputs, y) + 0.5 * kd
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert_state(unlearned, net.state_dict())
