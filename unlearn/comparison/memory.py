"""Memory or mere change: are unlearned models told from models that never saw the forget set?

Three questions can be asked of the outputs on the forget set, each of two populations of models:

* total: are unlearned models told from retrained ones? It is what must be small for those who need
  models as retraining gives them. A method that changes all its models alike fails it, whatever
  it remembers.
* memory: are unlearned models told from control models, which went through the same method with the
  same values and never saw the forget set? A control run starts from a retrained model and forgets
  another set of the same rule and size. This is the question of privacy: was this person's data
  ever in? It is what an attacker can tell who knows how many models of both kinds answer; from
  one model less can be told, and not always that much.
* shift: are control models told from retrained ones? What the method does to any model.

The literature asks the second question with trainings of its own: the "never seen" models of
Deep Unlearn's U-LiRA (Cadet et al., arXiv 2410.01276) and of RULI's privacy game (Naderloui et al.,
arXiv 2506.13009) have been unlearned too, of another forget set; RULI's efficacy game, like U-LiRA
(Hayes et al., arXiv 2403.01218) and the NeurIPS score, asks the first. Control runs need no
training besides the unlearning, since retrained models are at hand.

What control runs cannot match is the size of the training data: a control model has seen fewer
examples than an unlearned one, by as many as are forgotten, and so have retrained models beside
originals. The row of `method=retrain` with control runs, models trained without the forget set
beside models trained without it and another, shows how much of a table's memory that makes: none
that could be told on the digits (docs/results/digits.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student

from unlearn.comparison.scoring import Resampling
from unlearn.evals.base import Evaluation, Quantity
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population

MEMORY, SHIFT = "memory:", "shift:"
FEW = 10  # exchanges as bad as the number below which their share is too coarse


@dataclass(frozen=True)
class Relabelled:
    """A number among what it would be if both populations were of one kind.

    Attributes:
        p_value: share of random exchanges with a number as bad, or worse; the two kinds as they
            are count as one of them, which makes it exact for any number of models. Where hardly
            any exchange is as bad it is the tail of Student's t at the number's distance from
            their mean, since a correction for many tests needs smaller values than so few
            exchanges have.
        without: mean over the exchanges, the noise floor at this number of models.
    """

    p_value: float
    without: float


def relabelled(
    evaluation: Evaluation,
    one: Population,
    other: Population,
    problem: UnlearningProblem,
    quantities: Sequence[str],
    resampling: Resampling,
) -> dict[str, Relabelled]:
    """Test whether two populations of models differ: exchange models between them at random.

    If models of both are independent and of one distribution, every exchange is as probable as
    the populations as they are. Halves of the control models against each other would have half
    the models, at which most numbers are larger for that alone.

    Args:
        evaluation: compares populations.
        one: models to judge.
        other: models to judge them by; as many are used of each.
        problem: splits and task.
        quantities: of the evaluation.
        resampling: number of exchanges, and seed.

    Source: Pitman, Significance Tests which May Be Applied to Samples from any Populations,
    Journal of the Royal Statistical Society 1937.
    """
    count = min(len(one), len(other))
    rows = list(range(count))
    pool = joined(
        evaluation.reduced(one.take(rows), problem), evaluation.reduced(other.take(rows), problem)
    )
    generator = torch.Generator().manual_seed(resampling.seed)
    orders = [list(range(2 * count))] + [
        torch.randperm(2 * count, generator=generator).tolist()
        for _ in range(min(resampling.relabellings, evaluation.max_replicates))
    ]
    drawn = [
        evaluation.resampled(pool.take(order[:count]), pool.take(order[count:]), problem)
        for order in orders
    ]
    found = {}
    for name in quantities:
        values = torch.tensor([numbers[name] for numbers in drawn], dtype=torch.float64)
        bad = badness(values, evaluation.quantities[name]).nan_to_num(math.inf, math.inf, -math.inf)
        usable = values[1:][values[1:].isfinite()]
        found[name] = Relabelled(
            _p_value(bad, count - 1), float(usable.mean()) if len(usable) else math.nan
        )
    return found


def _p_value(bad: torch.Tensor, degrees: int) -> float:
    """One-sided, of the first value among all."""
    # Equal but for rounding counts as equal.
    as_bad = int((bad[1:] >= bad[0] - 1e-12 * bad[0].abs()).sum())
    exact = (1 + as_bad) / len(bad)
    others = bad[1:][bad[1:].isfinite()]
    if as_bad >= FEW or not math.isfinite(float(bad[0])) or len(others) < 2 or not others.std():
        return exact
    distance = float((bad[0] - others.mean()) / others.std())
    return min(exact, float(student.sf(distance, degrees)))


def badness(values: torch.Tensor, quantity: Quantity) -> torch.Tensor:
    """How far values are on the wrong side, higher = further; an attack's are not wrong below its
    ideal."""
    return -values if quantity.better == "higher" else values


def joined(first: Population, second: Population) -> Population:
    """The models of both populations as one."""
    return Population(
        (*first.seeds, *second.seeds),
        {n: torch.cat([first.logits[n], second.logits[n]]) for n in first.logits},
        first.targets,
        first.index,
    )
