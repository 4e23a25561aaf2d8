"""U-LiRA of populations."""

from support.answers import assert_tells_memory

from unlearn.evals.u_lira import ULiRA


def test_what_remembers_is_told_from_what_never_saw(problem):
    assert_tells_memory(ULiRA(), "accuracy", problem)
