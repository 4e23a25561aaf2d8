"""The table at the end of a run, and how many models a table of populations says it has."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.reports import number, row

from unlearn.evals.base import Quantity
from unlearn.report.numbers import Section, models_of
from unlearn.report.terminal import print_run_table


@pytest.mark.parametrize(("control", "name"), [(None, "ssd"), ({"retrained_seed": 1}, "ssd cont")])
def test_a_run_says_whether_it_is_a_control_and_what_is_wrong_with_retraining(
    capsys, control, name
):
    problem = SimpleNamespace(
        name="digits", synthetic=False, splits={"forget": range(144), "retain": range(1293)}
    )
    record = SimpleNamespace(
        document={
            "method": {"name": "ssd"},
            "control": control,
            "metrics": {"accuracy/test": 0.5},
        }
    )
    print_run_table(
        problem,
        {"accuracy/test": Quantity("test", "higher", unit="%", headline=True)},
        {"original": [{"accuracy/test": 0.9}], "retrained": [{"accuracy/test": 0.1}]},
        [record],
        ("1 of 1: near chance on test",),
    )
    shown = capsys.readouterr().out
    assert "digits: forget 144 of 1437" in shown and name in shown and "50.00" in shown
    assert ("control" in shown) == (control is not None)
    assert "retrained: 1 of 1: near chance on test" in shown


def test_memory_and_shift_say_their_own_numbers_of_models():
    made = row("ssd", "method", 0.9, 1.0)
    numbers = made.numbers | {
        "memory:u_lira/accuracy": number(0.5, 0.1, n=8),
        "shift:u_lira/accuracy": number(0.5, 0.1, n=32),
    }
    made = replace(made, numbers=numbers, models=32)
    memory = Section("", "memory", ["memory:u_lira/accuracy", "shift:u_lira/accuracy"])
    assert models_of(made, memory) == "8–32"
    assert models_of(made, Section("", "memory", ["memory:u_lira/accuracy"])) == "8"
    assert models_of(made, Section("", "total", ["klom/mean"])) == "32"
    assert models_of(made) == "3"
