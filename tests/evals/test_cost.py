"""Costs: shares of retraining, and what they may be compared with."""

import math
from typing import Any, cast

import pytest
from torch import nn

from unlearn.evals.base import Outputs
from unlearn.evals.cost import Cost
from unlearn.problem import UnlearningProblem
from unlearn.training.fit import Costs

NOWHERE = cast(UnlearningProblem, None)


def costs(**changed: Any) -> dict[str, Any]:
    usual = {
        "seconds": 2.0, "prepare_seconds": 0.5, "steps": 10, "examples_read": 100,
        "operations": 500, "peak_memory": 3 * 2**20, "trained_at_once": 1,
        "device": "CPU, 1 threads",
    }  # fmt: skip
    return {**usual, **changed}


def measured(own: dict[str, Any], *retraining: dict[str, Any]) -> dict[str, float]:
    return Cost().compute(
        Outputs(unlearned={}, original={}, costs=own, retraining=retraining), NOWHERE, nn.Identity()
    )


def test_shares_by_hand() -> None:
    found = measured(
        costs(), costs(operations=2000, seconds=7.0), costs(operations=2000, seconds=9.0)
    )
    assert found == {
        "seconds": 2.0, "retrain_share": 0.25, "time_share": 0.25, "steps": 10.0,
        "examples_read": 100.0, "peak_memory": 3.0,
    }  # fmt: skip


def test_retraining_is_all_of_retraining() -> None:
    assert measured(costs(), costs(), costs())["retrain_share"] == 1.0


@pytest.mark.parametrize("other", [{"device": "NVIDIA H200"}, {"trained_at_once": 64}])
def test_seconds_are_compared_only_where_models_were_trained_alike(other: dict[str, Any]) -> None:
    found = measured(costs(), costs(operations=1000, seconds=4.0, **other))
    assert found["retrain_share"] == 0.5
    assert math.isnan(found["time_share"])
    mixed = measured(costs(), costs(seconds=1000.0, **other), costs(seconds=4.0))
    assert mixed["time_share"] == 0.5


def test_doing_nothing_costs_nothing_whatever_it_is_compared_with() -> None:
    nothing = costs(seconds=0.0, operations=0, steps=0, examples_read=0, peak_memory=0)
    found = measured(nothing, costs(device="NVIDIA H200"))
    assert set(found.values()) == {0.0}


def test_what_was_trained_elsewhere_is_not_compared() -> None:
    unknown = vars(Costs.unknown())
    assert math.isnan(measured(costs(), unknown)["retrain_share"])
    assert math.isnan(measured(costs(), unknown)["time_share"])
    assert math.isnan(measured(costs(peak_memory=None), costs())["peak_memory"])
    found = measured(unknown, costs())
    assert math.isnan(found["retrain_share"]) and math.isnan(found["peak_memory"])
    assert math.isnan(measured(costs())["retrain_share"])  # there are no retrained models
