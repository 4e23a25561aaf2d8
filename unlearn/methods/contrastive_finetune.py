"""Contrastive fine-tuning: second place of the NeurIPS 2023 unlearning challenge."""

import math
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from unlearn.data.loaders import Loader, PairedLoader, batch_sizes
from unlearn.data.splits import Batch, Pair
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.interleaving import Zipped


def uniform_divergence(logits: Tensor) -> Tensor:
    """KL(uniform || softmax), mean over the batch, in nats; 0 for equal logits.

    Args:
        logits: `(B, C)`.
    """
    return -logits.log_softmax(-1).mean() - math.log(logits.shape[-1])


def contrast(forget: Tensor, retain: Tensor, temperature: float) -> Tensor:
    """Pulls forget outputs towards all retain outputs alike.

    Minus the mean over rows and columns of the log-softmax, over columns, of scaled products. At
    least ln(retain examples), reached where every product of a row is the same.

    Args:
        forget: `(F, C)` outputs.
        retain: `(R, C)` outputs, usually without gradient.
        temperature: > 0.
    """
    return -(forget @ retain.T / temperature).log_softmax(-1).mean()


class ContrastiveFinetune(UnlearningMethod):
    """First flattens the outputs on the forget set to uniform ones. Then, in rounds, pushes forget
    outputs towards those of all retain examples alike, and mends the rest by a pass over the retain
    set. The labels of the forget set are never used.

        J_1 = KL(uniform || softmax z_f),   J_2a = -mean log softmax_r(z_f z_r / tau),   J_2b = L_r

    Source: write-up 458721 of the NeurIPS 2023 machine unlearning challenge (second place), as
    taken up by the report of GISA.
    Reads: the forget set and the retain set.
    Differs from the official code: none known in the update; the optimizers, with their momentum
    and the cosine of the contrastive one (rounds x forget batches long), go on from round to round
    as there. The contest gave forget batches of `forget_batch_size`.

    Args:
        flatten_lr: rate of the first stage (SGD, momentum 0.9).
        flatten_epochs: its passes over the forget set.
        rounds: contrastive pass and retain pass this many times.
        contrast_lr: rate of the contrastive pass (SGD, momentum 0.9), cosine down to `final_lr`.
        final_lr: where the cosine ends.
        temperature: tau, > 0.
        retain_lr: rate of the retain pass (SGD, momentum 0.9).
        retain_weight_decay: its L2 penalty.
        batch_size: retain examples a step.
        forget_batch_size: forget examples a step.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)
    version = 2

    def __init__(
        self,
        *,
        flatten_lr: float,
        flatten_epochs: int,
        rounds: int,
        contrast_lr: float,
        final_lr: float,
        temperature: float,
        retain_lr: float,
        retain_weight_decay: float,
        batch_size: int,
        forget_batch_size: int,
    ):
        super().__init__()
        self.flatten_lr = check("flatten_lr", flatten_lr, low=0, open_low=True)
        self.flatten_epochs = int(check("flatten_epochs", flatten_epochs, low=1))
        self.rounds = int(check("rounds", rounds, low=1))
        self.contrast_lr = check("contrast_lr", contrast_lr, low=0, open_low=True)
        self.final_lr = check("final_lr", final_lr, low=0)
        self.temperature = check("temperature", temperature, low=0, open_low=True)
        self.retain_lr = check("retain_lr", retain_lr, low=0, open_low=True)
        self.retain_weight_decay = check("retain_weight_decay", retain_weight_decay, low=0)
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.forget_batch_size = int(check("forget_batch_size", forget_batch_size, low=1))

    def phases(self) -> list[Phase]:
        flatten, pull, repair = (
            SGD(self.net.parameters(), lr=lr, momentum=0.9, weight_decay=decay)
            for lr, decay in (
                (self.flatten_lr, 0.0),
                (self.contrast_lr, 0.0),
                (self.retain_lr, self.retain_weight_decay),
            )
        )

        # As long as all forget batches, also where rounds end with the retain set before them.
        steps = self.rounds * len(batch_sizes(len(self.data.forget), self.forget_batch_size))

        @cache
        def cosine(optimizer: Optimizer, total: int, per_epoch: int) -> LRScheduler:
            return CosineAnnealingLR(optimizer, steps, self.final_lr)

        first = Phase(
            "flatten",
            data="forget",
            epochs=self.flatten_epochs,
            batch_size=self.forget_batch_size,
            optimizer=lambda _: flatten,
            loss=self.flatten_loss,
        )
        pulled = Phase(
            "contrast",
            data="paired",
            epochs=1,
            batch_size=self.batch_size,
            optimizer=lambda _: pull,
            scheduler=cosine,
            loss=self.contrast_loss,
        )
        mended = Phase(
            "retain",
            data="retain",
            epochs=1,
            batch_size=self.batch_size,
            optimizer=lambda _: repair,
            loss=self.retain_loss,
        )
        return [first, *[pulled, mended] * self.rounds]

    def make_loader(self, phase: Phase) -> Loader | PairedLoader:
        if phase.name != "contrast":
            return super().make_loader(phase)
        forget = replace(phase, batch_size=self.forget_batch_size)
        return Zipped(self._side(phase, self.data.retain), self._side(forget, self.data.forget))

    def flatten_loss(self, batch: Batch) -> Tensor:
        return uniform_divergence(self.net(batch.x))

    def contrast_loss(self, batch: Pair) -> Tensor:
        forget = self.net(batch.forget.x)  # first, as there: running statistics have an order
        with torch.no_grad():
            retain = self.net(batch.retain.x)
        return contrast(forget, retain, self.temperature)

    def retain_loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
