"""Do a model's answers on the forget set and on the test set come from one model?"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import f as fisher
from torch import Tensor

from unlearn.metrics.validation import finite, require

FEWEST_MODELS = 8


@dataclass(frozen=True)
class Coherence:
    """How well the test set foretells a model's margins on the forget set.

    Attributes:
        ratio: variance over models of what the test set does not foretell, relative to that of
            retrained models; 1 is what retrained models have.
        p_value: of a ratio as large, were the variances equal and the models normal.
    """

    ratio: float
    p_value: float


def coherence(
    retrained_forget: Tensor, retrained_test: Tensor, forget: Tensor, test: Tensor
) -> Coherence:
    """Compare the variance of forget margins given test margins with that of retrained models.

    A confident model is confident everywhere: over retrained models the mean margin on the forget
    set follows that on the test set. Answers on the forget set that were put in place of the
    model's own, however right their distribution on every example, do not follow it, which no
    metric of the forget set alone can see.

    Margins are standardised by the retrained models' mean and deviation on each example, averaged
    for each model, and those of the forget set regressed on those of the test set over retrained
    models; the residuals' variances are compared by an F test. Real populations have longer tails
    than normal ones, so ask for a p-value far below the usual.

    Args:
        retrained_forget: ``(m, examples)`` margins of retrained models on the forget set.
        retrained_test: ``(m, others)`` the same on the test set.
        forget: ``(n, examples)`` of the models to judge.
        test: ``(n, others)`` the same on the test set.

    Raises:
        ValueError: fewer than eight models of a kind, wrong shapes, NaN or infinite values.
    """
    for name, one, other in (
        ("retrained_test", retrained_forget, retrained_test), ("test", forget, test),
    ):  # fmt: skip
        require(one.ndim == 2 and other.ndim == 2, name, "expected (models, examples)")
        require(len(one) == len(other) >= FEWEST_MODELS, name, "too few models, or not as many")
    expected_x, x = _standardised(retrained_test, test)
    expected_y, y = _standardised(retrained_forget, forget)
    centred = expected_x - expected_x.mean()
    slope = float((centred * expected_y).sum() / centred.square().sum().clamp(min=1e-300))
    expected, found = expected_y - slope * expected_x, y - slope * x
    # The slope was fitted to the retrained models: two degrees of freedom less.
    freedom = len(expected) - 2
    variance = float((expected - expected.mean()).square().sum() / freedom)
    ratio = float(found.var()) / variance if variance > 0 else 1.0
    return Coherence(ratio, float(fisher.sf(ratio, len(found) - 1, freedom)))


def _standardised(retrained: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Mean standardised margin of each model, ``(m,)`` and ``(n,)``."""
    reference = finite(retrained, "retrained").double()
    centre, scale = reference.mean(0), reference.std(0)
    varying = scale > 0
    return tuple(  # type: ignore[return-value]
        ((finite(v, "margins").double() - centre)[:, varying] / scale[varying]).mean(1)
        for v in (reference, own)
    )
