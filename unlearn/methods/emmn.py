"""EMMN: unlearning a class with learned noise in the place of all data."""

import torch
from torch import Tensor

from unlearn.data.splits import Batch, Split
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.noise import copies, learn_noise
from unlearn.methods.parts.optimizers import OptimizerName, optimizer


class EMMN(UnlearningMethod):
    """Learns error-maximising noise for the class to forget and error-minimising noise for every
    other class. The network is then trained on all of it with its labels: the first kind undoes the
    forgotten class, the second stands in for the retain set. No image is read.

        noise_c = argmin -CE(f(noise), c) + penalty |noise|^2 for a forgotten class c,
                  argmin  CE(f(noise), c) for a kept one;          J = CE(f(noise_c), c)

    Source: Chundawat, Tarun, Mandal, Kankanhalli, Zero-Shot Machine Unlearning, IEEE TIFS 2023
    (arXiv 2201.05629), as set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: nothing but the shape of an image and which classes are to be forgotten.
    Differs from the official code: the noise of all kept classes is learned at once, the same
    computation. All of it runs in evaluation mode, else batch norm would end up with statistics of
    noise (`train_mode: true` trains in training mode; the study's networks had dropout only).
    The study learns four noise images a class, but its loader takes as many as an image has
    channels: 3, with ten classes and 80 copies 2,400 items. Images are learned apart from each
    other, so three of four are what three alone are; `noise_images: 4` takes all, 3,200 items.
    Gradients that noise learning leaves in the study's model act in its first step (cosine of that
    step to a clean one: 0.28); here they are never made.

    Args:
        noise_images: noise images of each class that are trained on.
        forget_steps: optimisation steps of the forgotten classes' noise.
        retain_steps: optimisation steps of the kept classes' noise.
        noise_lr: learning rate of Adam on the noise.
        penalty: weight of the mean squared length of the forgotten classes' noise.
        copies: times that a noise image occurs in an epoch.
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the copies.
        batch_size: noise images a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
        train_mode: training mode of the network, with dropout and moving statistics.
    """

    requires = ()
    tasks = ("classification",)
    forget_kinds = ("class",)

    def __init__(
        self,
        *,
        noise_images: int,
        forget_steps: int,
        retain_steps: int,
        noise_lr: float,
        penalty: float,
        copies: int,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "adam",
        train_mode: bool = False,
    ):
        super().__init__()
        self.noise_images = int(check("noise_images", noise_images, low=1))
        self.forget_steps = int(check("forget_steps", forget_steps, low=1))
        self.retain_steps = int(check("retain_steps", retain_steps, low=1))
        self.noise_lr = check("noise_lr", noise_lr, low=0, open_low=True)
        self.penalty = check("penalty", penalty, low=0)
        self.copies = int(check("copies", copies, low=1))
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.epochs = int(check("epochs", epochs, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.optimizer, self.train_mode = optimizer, train_mode

    def prepare(self) -> None:
        forgotten = self.data.forget_classes
        kept = [c for c in range(self.task.num_outputs) if c not in forgotten]
        self.noise = self._noise(forgotten, maximise=True) + self._noise(kept, maximise=False)

    def _noise(self, classes: list[int] | tuple[int, ...], *, maximise: bool) -> Split:
        labels = torch.tensor(classes, device=self.device).repeat_interleave(self.noise_images)
        noise = learn_noise(
            self.net,
            labels,
            self.data.image_shape,
            maximise=maximise,
            steps=self.forget_steps if maximise else self.retain_steps,
            lr=self.noise_lr,
            penalty=self.penalty if maximise else 0.0,
            per_class=self.noise_images,
            generator=self.device_generator,
        )
        return copies(noise, labels, self.copies)

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "noise",
                data=self.noise,
                epochs=self.epochs,
                batch_size=self.batch_size,
                optimizer=optimizer(self.optimizer, self.lr, self.weight_decay),
                mode="train" if self.train_mode else "eval",
            )
        ]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
