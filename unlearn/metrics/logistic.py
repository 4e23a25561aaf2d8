"""Cross-validated logistic regression on one scalar, for many examples at once."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor

_SPLITS = 3
_NEWTON_STEPS = 100
_HALVINGS = 12
# Fewest models of a kind for which a tenth held out has both kinds in it.
FEWEST_MODELS = 6


def logistic_attack_rates(retrained: Tensor, unlearned: Tensor) -> tuple[Tensor, Tensor]:
    """Mean error rates of "is this value from an unlearned model?" on held-out models.

    Three stratified random splits with a tenth of the models held out (seed 0, the same for all
    examples); on each a logistic regression of one feature, unit L2 penalty on the slope, is
    fitted to the rest.

    Args:
        retrained: ``(models, examples)`` float64.
        unlearned: ``(models, examples)`` float64, at least six models of each kind.

    Returns:
        False positive and false negative rates, each ``(examples,)``.
    """
    values = torch.cat([retrained, unlearned]).T  # (examples, 2N)
    kind = np.repeat([0, 1], [retrained.shape[0], unlearned.shape[0]])
    splitter = StratifiedShuffleSplit(n_splits=_SPLITS, test_size=0.1, random_state=0)
    false_positive = torch.zeros(values.shape[0], dtype=torch.float64, device=values.device)
    false_negative = torch.zeros_like(false_positive)
    for fit, held_out in splitter.split(kind[:, None], kind):
        target = torch.from_numpy(kind[fit]).double().to(values.device)
        slope, intercept = fit_logistic(values[:, torch.from_numpy(fit)], target)
        decision = slope[:, None] * values[:, torch.from_numpy(held_out)] + intercept[:, None]
        positive = torch.from_numpy(kind[held_out] == 1).to(values.device)
        called = decision > 0
        false_positive += called[:, ~positive].double().mean(1) / _SPLITS
        false_negative += (~called[:, positive]).double().mean(1) / _SPLITS
    return false_positive, false_negative


def fit_logistic(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Fits one logistic regression per row by Newton's method with step halving.

    Minimises 0.5 slope^2 + sum of the cross-entropies; the intercept is free of penalty. The
    problem is strictly convex, so any solver that converges gives these coefficients.

    Args:
        values: ``(problems, samples)`` float64.
        target: ``(samples,)`` of 0 and 1, both present.

    Returns:
        Slopes and intercepts, each ``(problems,)``.
    """
    # Centring keeps the two coordinates apart; undone in the intercept at the end.
    centre = values.mean(1, keepdim=True)
    x = values - centre
    slope = torch.zeros(x.shape[0], dtype=x.dtype, device=x.device)
    intercept = torch.zeros_like(slope)

    def objective(slope: Tensor, intercept: Tensor) -> Tensor:
        decision = slope[:, None] * x + intercept[:, None]
        loss = torch.nn.functional.softplus(decision) - target * decision
        return 0.5 * slope.square() + loss.sum(1)

    value = objective(slope, intercept)
    for _ in range(_NEWTON_STEPS):
        probability = torch.sigmoid(slope[:, None] * x + intercept[:, None])
        error = probability - target
        weight = probability * (1 - probability)
        gradient = slope + (error * x).sum(1), error.sum(1)
        h11, h12, h22 = 1 + (weight * x * x).sum(1), (weight * x).sum(1), weight.sum(1)
        determinant = (h11 * h22 - h12 * h12).clamp_min(1e-300)
        move_slope = (h22 * gradient[0] - h12 * gradient[1]) / determinant
        move_intercept = (h11 * gradient[1] - h12 * gradient[0]) / determinant
        if max(float(move_slope.abs().max()), float(move_intercept.abs().max())) < 1e-10:
            break
        size = torch.ones_like(slope)
        for _ in range(_HALVINGS):
            tried = objective(slope - size * move_slope, intercept - size * move_intercept)
            worse = ~(tried <= value)
            if not worse.any():
                break
            size = torch.where(worse, size / 2, size)
        size = torch.where(tried <= value, size, 0.0)
        slope, intercept = slope - size * move_slope, intercept - size * move_intercept
        value = objective(slope, intercept)
        if not size.any():
            break
    return slope, intercept - slope * centre[:, 0]
