"""Which models stand in which replicate, and replicates of what is computed from models.

The uncertainty of a number of two populations comes from the models: had others been trained, the
number would differ. A replicate is the number computed anew from part of the models of each kind,
drawn without replacement; `spread` is what turns the replicates' standard deviation into that of
the number. Drawing with replacement would put duplicates into the populations, which no real
population has: they empty KLoM's bins, leak into the fits of attacks that hold a model out, and
move the replicates away from the estimate.

Source: Shao and Wu, A General Theory for Jackknife Variance Estimation, Annals of Statistics 1989
(the jackknife that deletes d models; it holds for statistics as rough as a median, where deleting
one fails, if the share that is kept falls as models get more).
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from unlearn.metrics.validation import require

FEWEST_MODELS = 4
# Few models can spare a quarter, or a threshold is left without values; of many, fewer are kept.
_EXPONENT = 0.89
# By simulation (benchmarks/coverage.py); the share that is kept falls, as the source asks.
_EXTREME = (2.0, 0.6)


def kept(count: int) -> int:
    """Models of a replicate: 6 of 8 models, 12 of 16, 22 of 32, 41 of 64."""
    _check_count(count)
    return round(count**_EXPONENT)


def spread(count: int) -> float:
    """Standard deviation of a number over that of its replicates, for ``count`` models of a kind.

    sqrt(k / (N - k)) with k of N models kept: exact for means, whose replicates vary less than
    the mean itself because they share most models.
    """
    return math.sqrt(kept(count) / (count - kept(count)))


def kept_for_extremes(count: int) -> int:
    """Models of a replicate of an extreme: 7 of 8 models, 11 of 16, 16 of 32, 24 of 64."""
    _check_count(count)
    factor, exponent = _EXTREME
    return min(count - 1, round(factor * count**exponent))


def restated(draws: Tensor, count: int) -> Tensor:
    """Replicates of an extreme over thresholds, as those of a number that settles as a mean does.

    The best of all thresholds does not get steadier with more models as a mean does, since more
    models have more thresholds, and better ones: where models differ, epsilon-hat varies as much
    over sets of 64 models as over sets of 16 or 32. (Where they do not it does get steadier, and
    the intervals are too wide: up to 1.9 times at 64 models, 3.7 times at 128.) What replicates of
    k of N models vary by, next to what they share, is then the standard deviation at N itself:
    factor sqrt(N / (N - k)), where `spread` would take another sqrt(k / N) off.

    Args:
        draws: ``(replicates,)`` of draws with `kept_for_extremes`; infinite ones stay.
        count: models of a kind.

    Returns:
        ``(replicates,)`` whose deviation times `spread` is that of the number.

    Source: Politis and Romano, Large Sample Confidence Regions Based on Subsamples under Minimal
    Assumptions, Annals of Statistics 1994 (subsampling of numbers of any rate, here none).
    """
    usable = draws[draws.isfinite()]
    if not len(usable):
        return draws
    factor = math.sqrt(count / (count - kept_for_extremes(count))) / spread(count)
    return torch.where(draws.isfinite(), usable.mean() + factor * (draws - usable.mean()), draws)


class ModelDraws:
    """The models of every replicate, as indices, without state that order of use could change.

    Fewer replicates are the first ones of more.

    Args:
        replicates: how many, at least 2.
        seed: of all draws.
        extremes: of numbers that are extremes over thresholds, see `restated`.

    Raises:
        ValueError: fewer than two replicates.
    """

    def __init__(self, replicates: int, seed: int = 0, extremes: bool = False):
        require(replicates >= 2, "replicates", "at least 2")
        self.replicates, self.seed = replicates, seed
        self._kept = kept_for_extremes if extremes else kept

    def of(self, population: str, count: int) -> Tensor:
        """Indices ``(replicates, kept)`` into the models of a population.

        Args:
            population: what identifies it, whatever the others are. Equal keys get equal draws:
                the retrained models of all rows of a table have one, so that what these happen to
                be cancels in a difference; so have rows whose i-th models start from the same
                original, and what the originals share cancels as well.
            count: its models.
        """
        digest = hashlib.sha256(f"row {population}".encode()).digest()
        words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
        drawn = [
            np.random.default_rng([self.seed, replicate, *words]).permutation(count)[
                : self._kept(count)
            ]
            for replicate in range(self.replicates)
        ]
        return torch.from_numpy(np.stack(drawn))


def side_by_side(values: Tensor, draws: Tensor) -> Tensor:
    """The models of all replicates as one population, whose examples are those of each in turn.

    A metric that treats every example on its own then needs one call for all replicates, which for
    few models is several times faster: average its result ``.view(replicates, examples)``.

    Args:
        values: ``(models, examples)`` per-example statistics of a population.
        draws: ``(replicates, kept)`` indices of models.

    Returns:
        ``(kept, replicates * examples)``.
    """
    return values[draws].transpose(0, 1).flatten(1)


def _check_count(count: int) -> None:
    require(
        count >= FEWEST_MODELS, "count", f"resampling needs {FEWEST_MODELS} models, got {count}"
    )
