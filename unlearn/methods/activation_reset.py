"""Activation reset: redraw the kernels that the forget set excites most."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.layers import last_linear, main_path_convolutions, mean_outputs
from unlearn.methods.parts.reinitialisation import Order, redraw_, repair
from unlearn.methods.parts.sampling import random_sample
from unlearn.methods.parts.stage import Stage


def excited(forget: Tensor, retain: Tensor, share: float) -> Tensor:
    """Mask `(K,)` of the channels that the forget set excites more at most positions.

    Args:
        forget: `(K, H, W)` mean outputs over the forget set.
        retain: the same over retain examples.
        share: more than this share of positions must exceed, in [0, 1].
    """
    return (forget > retain).flatten(1).double().mean(1) > share


class ActivationReset(UnlearningMethod):
    """Compares the mean output of every convolution over the forget set with that over a part of
    the retain set. A kernel whose output is larger for the forget set at most positions is redrawn,
    and so is the weight of the last linear layer. Fine-tuning on the retain set mends the rest.

        kernel k ~ N(0, 2 / fan-in)   where share of (h, w) with a_F[k,h,w] > a_R[k,h,w] exceeds 0.8

    Source: Krähenmann, Neubecker, Strozzi, Martinelli, Forget with Precision: Assessing Machine
    Unlearning Approaches (ETH Zurich, 2023), section 3.5.
    Reads: the forget set and the retain set.
    Differs from the official code: the retain mean is divided by the examples it was taken over;
    there by the size of the whole retain set, which makes it fifty times too small and resets
    almost every kernel (`official_mean: true` has it so). Statistics are taken in evaluation mode.
    The retain set is shuffled (`order: source` has it as there).

    Args:
        share: of positions that must be larger, in [0, 1].
        retain_share: share of the retain set for its mean, in [0, 1].
        official_mean: divide as the official code does.
        lr: rate of the repair (SGD, Nesterov momentum 0.9, constant).
        weight_decay: L2 penalty.
        epochs: passes over the retain set in the repair.
        batch_size: examples a step, and of the means.
        order: of the repair, `shuffled` or `source` (stored).
    """

    requires = ("retain", "forget")

    def __init__(
        self,
        *,
        share: float,
        retain_share: float,
        official_mean: bool = False,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        order: Order = "shuffled",
    ):
        super().__init__()
        self.share = check("share", share, low=0, high=1)
        self.retain_share = check("retain_share", retain_share, low=0, high=1)
        self.stage = Stage(lr, epochs, batch_size, weight_decay)
        self.official_mean, self.order = official_mean, order

    def prepare(self) -> None:
        retain, forget = self.data.retain, self.data.forget
        part = random_sample(retain, self.retain_share * len(retain), self.generator)
        layers = main_path_convolutions(self.net)
        means = [
            mean_outputs(
                self.net,
                layers,
                self.data.loader(split, self.stage.batch_size, device=self.device),
            )
            for split in (forget, part)
        ]
        scale = len(part) / len(retain) if self.official_mean else 1.0
        for layer, a_forget, a_retain in zip(layers, *means, strict=True):
            reset = excited(a_forget, scale * a_retain, self.share)
            redraw_(layer.weight, reset[:, None, None, None], self.device_generator)
        weight = last_linear(self.net).weight
        redraw_(weight, weight.new_ones(()).bool(), self.device_generator)

    def phases(self) -> list[Phase]:
        return [repair(self.stage, self.order)]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
