"""UNSIR: impair with error-maximising noise, then repair with retain images."""

import torch
from torch import Tensor

from unlearn.data.splits import Batch, Split
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.noise import copies, learn_noise
from unlearn.methods.parts.optimizers import OptimizerName, optimizer


def first_of_each(split: Split, labels: Tensor, count: int) -> Split:
    """The first `count` examples of every label, or all where there are fewer.

    Args:
        split: examples.
        labels: a label for each `(N,)`, int64.
        count: examples of each label.
    """
    grouped = labels.argsort(stable=True)
    sizes = labels.bincount()
    rank = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[grouped]]
    return split.take(grouped[rank < count].sort().values)


def subclasses(split: Split) -> Tensor:
    """Finer class of every example `(N,)`, or its class where the data has no finer ones."""
    return torch.cat(
        [
            part.targets if part.table.fine is None else part.table.fine[part.rows]
            for part in split.parts
        ]
    )


class UNSIR(UnlearningMethod):
    """Learns noise images on which the network is as wrong as can be about the class to forget.
    One epoch on them, labelled with that class, and on retain images breaks the class (impair); one
    more on the retain images alone mends the others (repair). No forget image is ever seen.

        noise = argmin -CE(f(noise), c) + penalty |noise|^2;   J = CE on (noise, c) and retain set

    Source: Tarun, Chundawat, Mandal, Kankanhalli, Fast Yet Effective Machine Unlearning, IEEE TNNLS
    2023 (arXiv 2111.08947), as set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: the retain set; of the forget set only the class that its labels name, no image.
    Differs from the official code: the noise is learned in evaluation mode, so that batch-norm
    statistics stay those of the images. With several forgotten classes, each gets a noise batch.
    The study learns a batch of 32 noise images, but its loader takes as many of them as an image
    has channels: 3, which 80 copies make 240 items. Images are learned apart from each other, so
    three of 32 are what three alone are; `noise_images: 32` is the batch it speaks of, 2,560 items.
    Gradients that noise learning leaves in the study's model act in its first impair step (cosine
    of that step to a clean one: 0.68); here they are never made.

    Args:
        noise_images: noise images of each forgotten class that are trained on.
        noise_steps: optimisation steps of the noise.
        noise_lr: learning rate of Adam on the noise.
        penalty: weight of the noise's mean squared length.
        copies: times that a noise image occurs in the impair epoch.
        images_per_class: retain images of every kept class (subclass, when one is forgotten).
        lr: learning rate of both epochs.
        weight_decay: L2 penalty of both epochs.
        impair_batch_size: examples a step of the impair epoch.
        repair_batch_size: examples a step of the repair epoch.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)
    forget_kinds = ("class", "subclass")

    def __init__(
        self,
        *,
        noise_images: int,
        noise_steps: int,
        noise_lr: float,
        penalty: float,
        copies: int,
        images_per_class: int,
        lr: float,
        weight_decay: float,
        impair_batch_size: int,
        repair_batch_size: int,
        optimizer: OptimizerName = "adam",
    ):
        super().__init__()
        self.noise_images = int(check("noise_images", noise_images, low=1))
        self.noise_steps = int(check("noise_steps", noise_steps, low=1))
        self.noise_lr = check("noise_lr", noise_lr, low=0, open_low=True)
        self.penalty = check("penalty", penalty, low=0)
        self.copies = int(check("copies", copies, low=1))
        self.images_per_class = int(check("images_per_class", images_per_class, low=1))
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.impair_batch_size = int(check("impair_batch_size", impair_batch_size, low=1))
        self.repair_batch_size = int(check("repair_batch_size", repair_batch_size, low=1))
        self.optimizer = optimizer

    def prepare(self) -> None:
        classes = self.data.forget_classes or self.data.forget.targets.unique().tolist()
        forgotten = torch.tensor(classes, device=self.device)
        labels = forgotten.repeat_interleave(self.noise_images)
        noise = learn_noise(
            self.net,
            labels,
            self.data.image_shape,
            maximise=True,
            steps=self.noise_steps,
            lr=self.noise_lr,
            penalty=self.penalty,
            per_class=self.noise_images,
            generator=self.device_generator,
        )
        self.noise = copies(noise, labels, self.copies)
        retain = self.data.retain
        kept = subclasses(retain) if self.data.forget_kind == "subclass" else retain.targets
        self.kept = first_of_each(retain, kept, self.images_per_class)

    def phases(self) -> list[Phase]:
        factory = optimizer(self.optimizer, self.lr, self.weight_decay)
        return [
            Phase("impair", self.noise + self.kept, 1, factory, self.impair_batch_size),
            Phase("repair", self.kept, 1, factory, self.repair_batch_size),
        ]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
