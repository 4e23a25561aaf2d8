"""Sentences under the tables are true for any number of models."""

import pytest

from unlearn.comparison.groups import Group
from unlearn.comparison.notes import notes_of
from unlearn.comparison.runs import Found, Member
from unlearn.evals.accuracy import Accuracy
from unlearn.evals.klom import KLoM
from unlearn.evals.u_lira import ULiRA

EVALUATIONS = {"accuracy": Accuracy(), "u_lira": ULiRA(), "klom": KLoM()}


def group(label: str, kind: str, count: int, starts: str) -> Group:
    members = tuple(
        Member(i, i if starts == "each" else 0, {}, dict, None, f"{label}{i}", {}, {})
        for i in range(count)
    )
    return Group(label, kind, members, starts, {}, f"unlearn.py method={label}")


def notes(retrained: int, method: int, starts: str = "each", level: float = 0.95) -> str:
    groups = [group("ssd", "method", method, starts)]
    bank = group("retrained", "retrained", retrained, "")
    return "\n".join(notes_of(EVALUATIONS, bank, groups, Found(groups, {}, 0), level))


def test_one_model_of_each_kind():
    found = notes(1, 1, "one")
    assert "numbers without intervals" in found and "Intervals cover" not in found
    assert "retrained has 1 model;" in found and "ssd has 1 model;" in found
    for wrong in ("Noise floor", "scored against", "To use all", "share one original", "Total"):
        assert wrong not in found


@pytest.mark.parametrize(("retrained", "scored"), [(3, False), (15, False), (16, True)])
def test_a_noise_floor_is_named_where_there_is_one(retrained, scored):
    half = retrained // 2
    assert (
        f"{half} retrained models scored against {half} others" in notes(retrained, 8)
    ) == scored


def test_more_models_are_asked_for_where_they_would_be_used():
    assert "To use all" not in notes(4, 3)
    assert "seeds=32" in notes(16, 16).split("To use all 16 runs of a row:")[1]
    assert "fewer models than the noise floor do not compare with it: ssd 8." in notes(32, 8)
    assert "fewer models" not in notes(32, 3), "a row without numbers has nothing to compare"


def test_control_runs_are_asked_for_where_they_would_be_used():
    assert "Total alone" in notes(16, 8) and "Total alone" not in notes(16, 2)


def test_the_level_is_the_configured_one():
    assert "in 97.5 % of tables" in notes(16, 8, level=0.975)
