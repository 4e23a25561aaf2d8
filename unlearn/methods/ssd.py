"""SSD: selective synaptic dampening."""

from typing import Literal

import torch
from torch import Tensor

from unlearn.methods.base import UnlearningMethod, check
from unlearn.methods.parts.importance import batch_importances


@torch.no_grad()
def dampen_(
    parameter: Tensor, forget: Tensor, full: Tensor, alpha: float, dampening: float
) -> None:
    """Shrink, in place, the weights that matter far more to the forget set than to the reference.

    Args:
        parameter: weights, changed in place.
        forget: importances on the forget set, same shape.
        full: importances on the reference set, same shape.
        alpha: a weight is selected where `forget > alpha * full`.
        dampening: selected weights are multiplied by `min(dampening * full / forget, 1)`.
    """
    selected = forget > alpha * full
    factor = (dampening * full / forget).clamp_max(1)
    parameter.copy_(torch.where(selected, parameter * factor, parameter))


class SSD(UnlearningMethod):
    """Measures how much every weight matters to the forget set and to a reference set, and dampens
    in one shot the weights that matter far more to the forget set. No training step is taken.

        theta_j <- theta_j min(lambda I_D,j / I_f,j, 1)   where I_f,j > alpha I_D,j

    Source: Foster, Schoepf, Brintrup, Fast Machine Unlearning Without Retraining Through Selective
    Synaptic Dampening, AAAI 2024 (arXiv 2308.07707).
    Reads: the forget set and the retain set.
    Differs from the official code: examples that fill no batch are spread over all batches; the
    squared gradient of a short last batch, noisier than the others, would count as much as theirs.
    `reference: retain` is the form of the GISA report, which measures against the retain set alone.

    Args:
        alpha: selection threshold, > 0.
        dampening: the paper's lambda, > 0.
        reference: `full`, retain then forget set; or `retain`.
        batch_size: examples whose mean gradient is squared, at most; the same for both sets.
    """

    requires = ("retain", "forget")

    def __init__(
        self,
        *,
        alpha: float,
        dampening: float,
        reference: Literal["full", "retain"] = "full",
        batch_size: int,
    ):
        super().__init__()
        self.alpha = check("alpha", alpha, low=0, open_low=True)
        self.dampening = check("dampening", dampening, low=0, open_low=True)
        self.reference = reference
        self.batch_size = int(check("batch_size", batch_size, low=1))

    def prepare(self) -> None:
        reference = self.data.split("mixed" if self.reference == "full" else "retain")
        forget, full = (
            batch_importances(
                self.net,
                self.task,
                self.data.loader(split, self.batch_size, device=self.device, last_batch="spread"),
            )
            for split in (self.data.forget, reference)
        )
        for name, parameter in self.net.named_parameters():
            if name in forget:
                dampen_(parameter, forget[name], full[name], self.alpha, self.dampening)
