"""The average gap to retrained models."""

import math

from support.answers import NET, answers

from unlearn.evals.average_gap import AverageGap
from unlearn.evals.base import Outputs


def test_equal_outputs_have_no_gap(problem):
    own = answers(problem, 0)
    assert AverageGap().compute(Outputs(own, own, [own]), problem, NET) == {"gap": 0}


def test_without_retrained_models_there_is_no_gap(problem):
    numbers = AverageGap().compute(Outputs(answers(problem, 0), {}, []), problem, NET)
    assert numbers and all(math.isnan(v) for v in numbers.values())
