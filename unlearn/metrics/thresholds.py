"""Families of decision rules on one scalar, and the largest epsilon each of them reaches.

A rule only matters through two counts: how many values of each population it calls positive. The
pooled values of an example are sorted once; a threshold then is a position in that order, an
interval a pair of positions, and epsilon a look-up in a table of (false positives, false
negatives). All functions take the positive and the negative population as ``(examples, models)``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unlearn.metrics.epsilon import rates_to_epsilon

# The competition's scorer: thresholds per unit of the statistic, slack around the narrower
# population in its interval family, width ratio that counts as collapsed, and cap.
_PER_UNIT = 100
_SLACK = 2.0
_COLLAPSED = 0.01
EPSILON_CAP = 50.0
# Right ends of intervals tried at once, most promising first.
_AT_ONCE = 8
# Elements of the largest temporary: two megabytes, which stay in the processor cache.
_BUDGET = 1 << 18


def competition_epsilons(retrained: Tensor, unlearned: Tensor, delta: float) -> Tensor:
    """Largest epsilon on the grid of the NeurIPS 2023 scorer, per example.

    Args:
        retrained: ``(models, examples)`` float64.
        unlearned: ``(models, examples)`` float64.
        delta: in [0, 1).

    Returns:
        ``(examples,)`` float64 in [0, 50]; NaN where every rule is discarded.
    """
    # Rates, logarithms and epsilon are single precision there, the intervals' grid is double.
    table = _epsilon_table(retrained.shape[0], delta, torch.float32, retrained.device)

    def best(larger: Tensor, smaller: Tensor) -> Tensor:
        narrow, wide = _by_width(larger, smaller)
        return torch.fmax(_single_grid(larger, smaller, table), _interval_grid(narrow, wide, table))

    models = retrained.shape[0]
    per_example = max(4 * models**2, 2 * models * _AT_ONCE, int(2 * _SLACK * _PER_UNIT))
    return _per_example(retrained, unlearned, best, per_example)


def exact_epsilons(retrained: Tensor, unlearned: Tensor, delta: float) -> Tensor:
    """Largest epsilon over every distinct threshold and interval of the pooled values.

    The same two families as `competition_epsilons` with the grid replaced by the values
    themselves, in double precision. It depends on the order of the values alone.

    Args:
        retrained: ``(models, examples)`` float64.
        unlearned: ``(models, examples)`` float64.
        delta: in [0, 1).

    Returns:
        ``(examples,)`` float64 in [0, 50]; NaN where every rule is discarded.
    """
    table = _epsilon_table(retrained.shape[0], delta, torch.float64, retrained.device)

    def best(larger: Tensor, smaller: Tensor) -> Tensor:
        narrow, wide = _by_width(larger, smaller)
        return torch.fmax(_single_all(larger, smaller, table), _interval_all(narrow, wide, table))

    return _per_example(retrained, unlearned, best, 4 * retrained.shape[0] ** 2)


def one_sided_epsilons(retrained: Tensor, unlearned: Tensor, delta: float) -> Tensor:
    """Largest epsilon of "unlearned if value > t" with t any observed value, at least 0.

    Args:
        retrained: ``(models, examples)`` float64.
        unlearned: ``(models, examples)`` float64.
        delta: in [0, 1).

    Returns:
        ``(examples,)`` float64 in [0, inf].
    """
    models = retrained.shape[0]
    table = _epsilon_table(models, delta, torch.float64, retrained.device)
    if delta > 0:
        # A rule that is always wrong leaves both logarithms undefined: here it counts as perfect.
        table[-1] = torch.inf
    values, positives, negatives = _sorted_counts(unlearned.T, retrained.T)
    rank = torch.searchsorted(values, values, right=True)
    missed, kept_out = positives.gather(1, rank), negatives.gather(1, rank)
    return table[(models - kept_out) * (models + 1) + missed].amax(1).clamp_min(0)


def _per_example(
    retrained: Tensor,
    unlearned: Tensor,
    best: Callable[[Tensor, Tensor], Tensor],
    elements: int,
) -> Tensor:
    """Orients every example by its medians, applies ``best`` in chunks, then the collapse rule."""
    retrained, unlearned = retrained.T.contiguous(), unlearned.T.contiguous()
    retrained_larger = (_median(retrained) > _median(unlearned))[:, None]
    larger = torch.where(retrained_larger, retrained, unlearned)
    smaller = torch.where(retrained_larger, unlearned, retrained)
    chunk = max(1, _BUDGET // elements)
    parts = [best(a, b) for a, b in zip(larger.split(chunk), smaller.split(chunk), strict=True)]
    epsilon = torch.cat(parts).double()
    epsilon = torch.where(epsilon == -torch.inf, torch.nan, epsilon.clamp(0, EPSILON_CAP))
    widths = torch.stack([_range(larger), _range(smaller)])
    collapsed = widths.amin(0) / widths.amax(0) < _COLLAPSED
    return epsilon.masked_fill(collapsed, EPSILON_CAP)


def _epsilon_table(models: int, delta: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Epsilon by (false positives, false negatives), flattened; -inf where a rule is discarded."""
    rates = torch.arange(models + 1, dtype=dtype, device=device) / models
    table = rates_to_epsilon(rates[:, None], rates[None, :], delta)
    return torch.where(table.isnan(), -torch.inf, table).flatten()


def _median(values: Tensor) -> Tensor:
    ordered = values.sort(1).values
    return (ordered[:, (values.shape[1] - 1) // 2] + ordered[:, values.shape[1] // 2]) / 2


def _range(values: Tensor) -> Tensor:
    return values.amax(1) - values.amin(1)


def _by_width(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The same two populations as (narrower, wider); on a tie the second counts as narrower."""
    swap = (_range(first) >= _range(second))[:, None]
    return torch.where(swap, second, first), torch.where(swap, first, second)


def _sorted_counts(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pooled values in order, and how many of each kind are among the first m, m = 0..2N."""
    values, order = torch.cat([positive, negative], 1).sort(1)
    is_positive = order < positive.shape[1]
    positives = torch.nn.functional.pad(is_positive.cumsum(1, dtype=torch.int32), (1, 0))
    rank = torch.arange(positives.shape[1], device=values.device, dtype=torch.int32)
    return values, positives, rank - positives


def _lookup(table: Tensor, models: int, inside_positive: Tensor, inside_negative: Tensor) -> Tensor:
    """Epsilon of rules that call these many values of each kind positive."""
    index = inside_negative * (models + 1) + (models - inside_positive)
    return table[index]


def _reached(grid_at_or_below: Tensor) -> Tensor:
    """Whether some grid point has exactly m values below it, m along the last axis."""
    previous = torch.nn.functional.pad(grid_at_or_below[..., :-1], (1, 0))
    return grid_at_or_below > previous


def _single_grid(positive: Tensor, negative: Tensor, table: Tensor) -> Tensor:
    """Best "value >= t" on equally spaced single-precision thresholds over the pooled range."""
    models = positive.shape[1]
    values, positives, negatives = _sorted_counts(positive, negative)
    low, high = values[:, :1], values[:, -1:]
    points = ((high - low) * _PER_UNIT).ceil()
    start, end = low.float(), high.float()
    step = (end - start) / (points - 1).float()
    step = torch.where(points > 1, step, 0.0)

    # Only the grid point nearest to a value can be on either side of it.
    nearest = ((values - start) / step.double()).nan_to_num(0, posinf=0, neginf=0).round()
    nearest = nearest.minimum(points - 1).clamp_min(0)
    from_start = start + step * nearest.float()
    from_end = end - step * (points - 1 - nearest).float()
    threshold = torch.where(nearest < (points / 2).floor(), from_start, from_end)
    threshold = torch.where(points > 1, threshold, start)
    at_or_below = (nearest + (threshold.double() <= values)).minimum(points)

    epsilon = _lookup(table, models, models - positives[:, :-1], models - negatives[:, :-1])
    return epsilon.masked_fill(~_reached(at_or_below), -torch.inf).amax(1)


def _interval_grid(narrow: Tensor, wide: Tensor, table: Tensor) -> Tensor:
    """Best "left <= value <= right" on the double-precision grid around the narrower population.

    Right ends are tried in the order of what they could reach at most, until none that is left can
    beat the best found: a few of the grid's four hundred are enough for nearly every example.
    """
    values, positives, negatives = _sorted_counts(narrow, wide)
    width = _range(narrow)[:, None]
    first = narrow.amin(1, keepdim=True) + width - _SLACK
    last = narrow.amax(1, keepdim=True) + _SLACK
    # Four units wide, so 400 points, or 401 where rounding tips the product over.
    points = ((last - first) * _PER_UNIT).ceil()
    k = torch.arange(int(points.max()), device=values.device, dtype=values.dtype)
    right = k * ((last - first) / (points - 1)) + first
    right = torch.where(k == points - 1, last, right)
    upto = torch.searchsorted(values, right.contiguous(), right=True)

    reach = _interval_bounds(values, positives, negatives, first, last, width, table)
    reach = reach.gather(1, upto).masked_fill(k >= points, -torch.inf)
    reach, order = reach.sort(1, descending=True)
    best = torch.full_like(reach[:, 0], -torch.inf)
    begin, end = 0, _AT_ONCE
    while begin < right.shape[1] and len(hopeful := (reach[:, begin] > best).nonzero()[:, 0]):
        tried = order[hopeful, begin:end]
        found = _left_ends(
            values[hopeful],
            positives[hopeful],
            negatives[hopeful],
            right[hopeful].gather(1, tried) - width[hopeful],
            upto[hopeful].gather(1, tried),
            table,
        )
        # Those beyond an example's own grid reach nothing and come last.
        missing = reach[hopeful, begin:end] == -torch.inf
        found = found.masked_fill(missing, -torch.inf)
        best[hopeful] = torch.maximum(best[hopeful], found.amax(1))
        begin, end = end, 3 * end  # the few that go on go on for long
    return best


def _interval_bounds(
    values: Tensor,
    positives: Tensor,
    negatives: Tensor,
    first: Tensor,
    last: Tensor,
    width: Tensor,
    table: Tensor,
) -> Tensor:
    """Most that an interval holding the first u values can reach, u = 0..2N, if every left end
    between the grid's outermost ones were there."""
    models = values.shape[1] // 2
    outer = torch.nn.functional.pad(values, (1, 1), value=torch.inf)
    outer[:, 0] = -torch.inf
    lowest = torch.maximum(outer[:, :-1], first) - width - _SLACK
    highest = torch.minimum(outer[:, 1:], last) - width + _SLACK
    previous, value = outer[:, None, :-2], values[:, None, :]
    slack = 1e-9  # rounding must not rule out what the grid reaches
    possible = value >= lowest[:, :, None] - slack
    possible &= previous <= highest[:, :, None] + slack
    inside_narrow = positives[:, :, None] - positives[:, None, :-1]
    inside_wide = negatives[:, :, None] - negatives[:, None, :-1]
    possible &= (inside_narrow > 0) & (inside_wide >= 0)
    epsilon = _lookup(table, models, inside_narrow.clamp_min_(0), inside_wide.clamp_min_(0))
    return epsilon.masked_fill_(~possible, -torch.inf).amax(2)


def _left_ends(
    values: Tensor,
    positives: Tensor,
    negatives: Tensor,
    centre: Tensor,
    upto: Tensor,
    table: Tensor,
) -> Tensor:
    """Best left end on the grid around each ``centre`` (examples, R), with a right end after the
    first ``upto`` values."""
    models = values.shape[1] // 2
    left_points = int(2 * _SLACK * _PER_UNIT)
    start, stop = (centre - _SLACK)[:, :, None], (centre + _SLACK)[:, :, None]
    step = (stop - start) / (left_points - 1)
    value = values[:, None, :]
    # As above: settle the nearest grid point exactly, all others follow from it.
    nearest = ((value - start) / step).round_()
    threshold = (nearest * step).add_(start)
    threshold = torch.where(nearest == left_points - 1, stop, threshold)
    at_or_below = nearest.add_(threshold <= value).clamp_(0, left_points)

    reached = _reached(at_or_below)
    inside_narrow = positives.gather(1, upto)[:, :, None] - positives[:, None, :-1]
    inside_wide = negatives.gather(1, upto)[:, :, None] - negatives[:, None, :-1]
    # A left end right of the right end holds nothing: no false positive, hence discarded.
    reached &= (inside_narrow > 0) & (inside_wide >= 0)
    epsilon = _lookup(table, models, inside_narrow.clamp_min_(0), inside_wide.clamp_min_(0))
    return epsilon.masked_fill_(~reached, -torch.inf).amax(2)


def _single_all(positive: Tensor, negative: Tensor, table: Tensor) -> Tensor:
    """Best "value >= t" over the distinct pooled values."""
    models = positive.shape[1]
    values, positives, negatives = _sorted_counts(positive, negative)
    below = torch.searchsorted(values, values)
    inside_positive = models - positives.gather(1, below)
    return _lookup(table, models, inside_positive, models - negatives.gather(1, below)).amax(1)


def _interval_all(narrow: Tensor, wide: Tensor, table: Tensor) -> Tensor:
    """Best "left <= value <= right" over all pairs of pooled values."""
    models = narrow.shape[1]
    values, positives, negatives = _sorted_counts(narrow, wide)
    below = torch.searchsorted(values, values)
    upto = torch.searchsorted(values, values, right=True)
    inside_narrow = positives.gather(1, upto)[:, :, None] - positives.gather(1, below)[:, None, :]
    inside_wide = negatives.gather(1, upto)[:, :, None] - negatives.gather(1, below)[:, None, :]
    # Pairs in the wrong order come out negative and hold nothing: discarded by the table.
    epsilon = _lookup(table, models, inside_narrow.clamp_min_(0), inside_wide.clamp_min_(0))
    return epsilon.flatten(1).amax(1)
