"""The problem whose splits imaginary models answer."""

import pytest
from support.compose import compose_job

from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import problem_of


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory) -> UnlearningProblem:
    """Real digits, a random tenth forgotten."""
    return problem_of(compose_job("logger=none", home=tmp_path_factory.mktemp("data")))
