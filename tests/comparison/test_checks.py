"""Published values beside numbers made by hand: verdicts, what is not comparable, orders."""

import math
from dataclasses import replace

import pytest
from support.reports import number, small_report

from unlearn.comparison.checks import (
    ANOTHER,
    INSIDE,
    LARGER,
    OUTSIDE,
    SCALED_DOWN,
    STARTS,
    against_published,
    run_rows,
)
from unlearn.comparison.published import Preset, Published, PublishedValue, differences
from unlearn.comparison.result import NOISE_FLOOR, Row
from unlearn.evals.base import Quantity
from unlearn.report.published import lines, notes, published_csv

QUANTITIES = {
    "accuracy/test": Quantity("test", "higher", unit="%"),
    "epsilon_hat/median": Quantity("ε̂", "lower"),
}
METHODS = {name: {"_target_": name, "lr": 0.1} for name in ("a", "b", "c")}


def published(method: str | None, value: float, tolerance: float = 0.1, **more) -> PublishedValue:
    quantity = more.pop("quantity", "epsilon_hat/median")
    return PublishedValue(quantity, value, tolerance, "table 1", method, **more)


def preset(*rows: PublishedValue, **more) -> Preset:
    study = Published("S", "chosen", list(rows), more.pop("scaled_down", None))
    settings = {"epsilon_hat": {"delta": 0.05}}
    asked = more.pop("evaluations", settings)
    return Preset("p", study, more.pop("differs", ()), METHODS, asked, settings)


def row(label: str, value: float, kind: str = "method", n: int = 8) -> Row:
    numbers = {"epsilon_hat/median": number(value, 0.01, n)}
    return Row(label, kind, "each", numbers, (), values=METHODS.get(label, {}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(2.0, INSIDE), (2.3, INSIDE), (1.7, INSIDE), (2.31, OUTSIDE), (1.69, OUTSIDE)]
    + [(math.inf, OUTSIDE)],
)
def test_the_tolerance_is_the_border(measured, verdict):
    table = against_published(preset(published("a", 2.0, 0.3)), [row("a", measured)], QUANTITIES)
    assert [check.verdict for check in table.checks] == [verdict]


@pytest.mark.parametrize(
    ("models", "n", "verdict"),
    [(8, 8, INSIDE), (None, 8, INSIDE), (80, 8, SCALED_DOWN), (4, 8, LARGER)],
)
def test_numbers_of_populations_compare_at_one_number_of_models(models, n, verdict):
    asked = preset(published("a", 2.0, models=models))
    [check] = against_published(asked, [row("a", 2.0, n=n)], QUANTITIES).checks
    assert check.verdict == verdict
    if models not in (None, n):
        assert check.why == f"{n} models of each kind, published with {models}"


@pytest.mark.parametrize(("starts", "verdict"), [("each", STARTS), ("one", INSIDE)])
def test_runs_of_one_original_are_not_held_against_runs_of_their_own(starts, verdict):
    asked = preset(published("a", 2.0))
    asked = replace(asked, published=replace(asked.published, starts="one"))
    made = replace(row("a", 2.0), starts=starts)
    [check] = against_published(asked, [made], QUANTITIES).checks
    assert check.verdict == verdict


def test_another_definition_of_the_number_gives_no_verdict():
    settings = {"epsilon_hat": {"delta": 0.1}}
    asked = preset(published("a", 2.0), evaluations=settings)
    [check] = against_published(asked, [row("a", 2.0)], QUANTITIES).checks
    assert (check.verdict, check.why) == (
        ANOTHER,
        "eval.epsilon_hat.delta is 0.1, the study's 0.05",
    )
    own = preset(published("a", 2.0, settings={"delta": 0.1}), evaluations=settings)
    [check] = against_published(own, [row("a", 2.0)], QUANTITIES).checks
    assert check.verdict == INSIDE


def test_values_go_to_their_rows():
    rows = [row(NOISE_FLOOR, 1.0, "noise floor"), row("original", 4.0, "do-nothing"), row("a", 2.0)]
    asked = preset(*(published(m, v) for m, v in (("retrain", 1), ("original", 4), ("b", 2))))
    checks = against_published(asked, rows, QUANTITIES).checks
    assert [(c.row, c.verdict) for c in checks] == [(NOISE_FLOOR, INSIDE), ("original", INSIDE)]
    [check] = against_published(preset(published(None, 2.0)), rows, QUANTITIES).checks
    assert check.row == "a"


def test_another_problem_and_other_values_are_told():
    many = [f"recipe.x{i} is 1, the preset's 2" for i in range(5)]
    table = against_published(preset(published("a", 2.0), differs=many), [row("a", 2)], QUANTITIES)
    [note] = table.notes
    assert not table.checks and "x2 is 1" in note and note.endswith("and 2 more.")
    other = Row("a", "method", "", {}, (), values={"_target_": "a", "lr": 0.2})
    table = against_published(preset(published("a", 2.0)), [other], QUANTITIES)
    assert "method.lr is 0.2, the preset's 0.1" in table.notes[0] and not table.checks


def test_orders_of_methods_are_compared():
    asked = preset(published("a", 1.0), published("b", 2.0), published("c", 3.0))
    rows = [row("a", 1.0), row("b", 3.0), row("c", 2.5)]
    [note] = against_published(asked, rows, QUANTITIES).notes
    assert "published a, b, c; measured a, c, b: 2 of 3 pairs in the published order." in note
    assert not against_published(asked, rows[:2], QUANTITIES).notes, "two make no order"
    twice = [*rows, replace(row("a", 1.1), label="a (original 0)")]
    [note] = against_published(asked, twice, QUANTITIES).notes
    assert "4 of 5 pairs" in note, "one method, twice, has no order"


def test_scaled_down_presets_carry_the_value_and_no_verdict():
    asked = preset(published("a", 2.0), scaled_down="2 epochs for 100")
    table = against_published(asked, [row("a", 2.0)], QUANTITIES)
    [line] = lines(table, QUANTITIES)
    assert line[2].startswith("2 ± ") and line[5] == SCALED_DOWN
    assert any("2 epochs for 100" in note for note in notes(table))
    assert "2 epochs for 100" in published_csv(table)


def test_what_was_not_measured_is_named():
    asked = preset(published("a", 0.9, quantity="accuracy/test"), published("a", 2.0))
    bare = Row("a", "method", "", {}, (), values=METHODS["a"])
    [first, second] = against_published(
        asked, [bare], {"accuracy/test": QUANTITIES["accuracy/test"]}
    ).notes
    assert "accuracy/test of a (no number" in first and "eval=[...,epsilon_hat]" in second


def test_runs_become_rows_with_intervals_within_what_there_can_be():
    runs = [{"accuracy/test": 1.0}, {"accuracy/test": 0.9}, {"accuracy/test": None}]
    references = {"original": [{"accuracy/test": 0.5}], "retrained": [{"accuracy/test": math.nan}]}
    floor, original, unlearned = run_rows("a", METHODS["a"], references, runs, QUANTITIES)
    assert floor.numbers == {} and original.numbers["accuracy/test"].interval is None
    measured = unlearned.numbers["accuracy/test"]
    assert (measured.value, measured.n) == (pytest.approx(0.95), 2)
    assert measured.interval is not None and measured.interval.high == 1.0
    kinds = [r.kind for r in run_rows("original", {}, references, runs, QUANTITIES)]
    assert kinds == ["noise floor", "do-nothing"], "unlearned by nothing is the original"


def test_differences_name_the_key():
    mine, theirs = {"a": {"b": 10}, "c": [1], "root": 1}, {"a": {"b": 10.0}, "c": [2], "d": 3}
    assert differences(mine, theirs, "x", ("x.root",)) == [
        "x.c is [1], the preset's [2]",
        "x.d is not set, the preset's 3",
    ]


def test_a_report_without_published_values_has_no_such_section():
    assert small_report().published is None
