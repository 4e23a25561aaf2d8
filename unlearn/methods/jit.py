"""JiT: zero-shot unlearning by smoothing the output around every forget image."""

from typing import Any

import torch
from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.optimizers import optimizer

EPSILON = 1e-12


def lipschitz_quotients(x: Tensor, outputs: Tensor, noised_x: Tensor, noised: Tensor) -> Tensor:
    """How far each output moved for how far its input moved, `(B,)`, >= 0.

    Args:
        x: inputs `(B, ...)`.
        outputs: their outputs `(B, C)`.
        noised_x: perturbed inputs `(B, ...)`.
        noised: outputs of the perturbed inputs `(B, C)`.
    """
    moved = (outputs - noised).norm(dim=1)
    return moved / ((x - noised_x).flatten(1).norm(dim=1) + EPSILON)


class JiT(UnlearningMethod):
    """Takes one pass over the forget images and pulls the output on each image towards its outputs
    on noisy versions of the same image, so that the network becomes as flat there as around images
    it never saw. Neither retain data nor labels are used. Loss is a sum over the images of a batch,
    so the learning rate belongs to a batch size.

        L_B = 1/N sum_n sum_i |f(x_i) - sg f(x_i + e_n)| / |e_n|,   e_n ~ N(0, sigma^2)

    Source: Foster, Fogarty, Schoepf, Oeztireli, Brintrup, arXiv 2402.01401.
    Reads: the forget set, images only.
    Differs from the official code: gradients are cleared before every batch, the script forgets it
    (`accumulate: true` brings it back; the authors' notebook clears); evaluation mode, the script
    leaves dropout on and batch-norm statistics moving (`train_mode: true` brings it back).

    Args:
        sigma: standard deviation of the noise, in units of the normalised input, > 0: under another
            normalisation the same value is another noise, and the loss has another scale.
        lr: rate of plain SGD.
        draws: noisy versions of every image, the paper's N.
        batch_size: images a step.
        clamp: keep noisy values within the extremes of the batch.
        accumulate: never clear gradients between batches.
        train_mode: training mode of the network, with dropout and moving statistics.
    """

    requires = ("forget",)

    def __init__(
        self,
        *,
        sigma: float,
        lr: float,
        draws: int,
        batch_size: int,
        clamp: bool = True,
        accumulate: bool = False,
        train_mode: bool = False,
    ):
        super().__init__()
        self.sigma = check("sigma", sigma, low=0, open_low=True)
        self.lr = check("lr", lr, low=0, open_low=True)
        self.draws = int(check("draws", draws, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.clamp, self.accumulate, self.train_mode = clamp, accumulate, train_mode

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "smooth",
                data="forget",
                epochs=1,
                batch_size=self.batch_size,
                order="stored",
                optimizer=optimizer("sgd", self.lr),
                mode="train" if self.train_mode else "eval",
            )
        ]

    def draw_noise(self, x: Tensor) -> Tensor:
        """Standard normal values of the shape of a batch."""
        return torch.randn(x.shape, generator=self.device_generator, device=x.device, dtype=x.dtype)

    def loss(self, batch: Batch) -> Tensor:
        low, high = batch.x.aminmax()
        outputs = self.net(batch.x)
        total = outputs.new_zeros(())
        for _ in range(self.draws):
            noised_x = batch.x + self.sigma * self.draw_noise(batch.x)
            if self.clamp:
                noised_x = noised_x.clamp(low, high)
            with torch.no_grad():
                noised = self.net(noised_x)
            total = total + lipschitz_quotients(batch.x, outputs, noised_x, noised).sum()
        return total / self.draws

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if not self.accumulate:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)
