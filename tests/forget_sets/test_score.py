"""Rows by a score from a file."""

import numpy as np
import pytest
from support.tables import TEN, assert_refused_in_one_line, balanced, table

from unlearn.errors import UserError
from unlearn.forget_sets.score import ScoreForget


@pytest.mark.parametrize("suffix", ["txt", "npy", "npz"])
def test_scores_choose_the_hardest_and_the_easiest(tmp_path, suffix):
    scores = np.random.default_rng(0).normal(size=50)
    path = tmp_path / f"scores.{suffix}"
    if suffix == "txt":
        path.write_text("\n".join(map(repr, scores.tolist())))
    elif suffix == "npy":
        np.save(path, scores)
    else:
        np.savez(path, confidence=scores)
    train = table(balanced(10, 5))
    hardest = ScoreForget(str(path), "lowest", fraction=0.1).select(train, TEN)
    easiest = ScoreForget(str(path), "highest", count=7).select(train, TEN)
    assert sorted(hardest.tolist()) == sorted(np.argsort(scores)[:5].tolist())
    assert sorted(easiest.tolist()) == sorted(np.argsort(scores)[-7:].tolist())


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 2 3", "one number each is needed"), ("a b", "cannot be read"), ("nan " * 50, "finite")],
)
def test_bad_score_files(tmp_path, text, message):
    path = tmp_path / "scores.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        ScoreForget(str(path), "lowest", count=3).select(table(balanced(10, 5)), TEN)


def test_a_pickled_score_file_is_not_loaded(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([object()] * 50), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        ScoreForget(str(tmp_path / "scores.npy"), "lowest", count=3).select(
            table(balanced(10, 5)), TEN
        )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: ScoreForget(None, "lowest", count=1), "forget.file is missing"),
        (lambda: ScoreForget("nowhere", "lowest", count=1).select(table([1, 2]), TEN), "no such"),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
