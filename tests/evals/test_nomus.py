"""NoMUS: whom the forget set is told from."""

from support.answers import NET, answers

from unlearn.evals.base import Outputs
from unlearn.evals.nomus import NoMUS


def test_nomus_prefers_people_nobody_has_seen(problem):
    own = answers(problem, 0, margin=3, forget=3)
    by_test = NoMUS().compute(Outputs(own, {}), problem, NET)
    odd = answers(problem, 1, margin=-20)["test"]
    by_unseen = NoMUS().compute(Outputs({**own, "unseen": odd}, {}), problem, NET)
    assert by_test["loss_attack"] < 0.65 < 0.95 < by_unseen["loss_attack"]
