"""The support vector attack: what it learns from, and what it notices."""

import torch
from support.answers import NET, answers

from unlearn.evals.base import Outputs
from unlearn.evals.mia_svc import MiaSvc


def test_svc_attack_sees_as_many_retain_as_test_examples(problem):
    own = answers(problem, 0)
    size = len(own["test"].targets)
    cut = {**own, "retain": own["retain"].sample(size)}
    assert len(cut["retain"].targets) == size < len(own["retain"].targets)
    assert torch.equal(cut["retain"].index, own["retain"].sample(size).index)
    whole, small = (MiaSvc().compute(Outputs(o, {}), problem, NET) for o in (own, cut))
    assert whole == small


def test_attacks_notice_that_the_forget_set_is_treated_like_training_data(problem):
    remembered = Outputs(answers(problem, 0, margin=3, retain=12, forget=12), {})
    forgotten = Outputs(answers(problem, 0, margin=3, retain=12, forget=3), {})
    numbers = [MiaSvc().compute(o, problem, NET)["confidence"] for o in (remembered, forgotten)]
    assert numbers[0] < 0.2 < 0.6 < numbers[1]
