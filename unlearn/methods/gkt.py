"""GKT: gated transfer of everything but the forgotten class, on generated images."""

import logging
import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from unlearn.data.splits import Batch, Split
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.attention import outputs_and_attention
from unlearn.methods.parts.distillation import frozen_copy, kl_divergence, soft_targets
from unlearn.methods.parts.image_generator import ImageGenerator
from unlearn.methods.parts.optimizers import optimizer

log = logging.getLogger(__name__)


def gate(probabilities: Tensor, forgotten: tuple[int, ...], threshold: float) -> Tensor:
    """Which images `(B,)` may pass: none of the forgotten classes is likelier than the threshold.

    Args:
        probabilities: the original model's, `(B, C)`.
        forgotten: classes to be forgotten.
        threshold: largest probability that passes.
    """
    return (probabilities[:, list(forgotten)] <= threshold).all(1)


def one_cycle(
    step: int, total: int, start: float = 1 / 25, peak: float = 1.0, end: float = 4e-6
) -> float:
    """Value at a step: from start to peak over 30 % of the steps, then on to the end (both half a
    cosine), as torch's OneCycleLR has it; by default shares of the peak rate."""
    turn, last = max(0.3 * total - 1, 1), max(total - 1, 2)
    if step < turn:
        a, b, way = start, peak, step / turn
    else:
        a, b, way = peak, end, (step - turn) / (last - turn)
    return b + (a - b) * (1 + math.cos(math.pi * way)) / 2


class StudentCycle(LambdaLR):
    """One cycle of the student's rate and, against it, of its momentum; the generator's stay.

    Args:
        optimizer: with the generator's parameters first and the student's second.
        total: steps of the cycle.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, total: int):
        self.total = total
        super().__init__(optimizer, [lambda step: 1.0, lambda step: one_cycle(step, total)])

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        momentum = one_cycle(self.last_epoch, self.total, 0.95, 0.85, 0.95)
        self.optimizer.param_groups[1]["momentum"] = momentum


class GKT(UnlearningMethod):
    """Trains a student on images from a generator, which itself learns to make images on which
    student and original model differ. Images that the original takes for the forgotten class do not
    pass the gate, so nothing about that class is handed on. The student is the original with its
    convolutions initialised anew; no image is read.

        generator: J = -KL(original || student);
        student: J = KL(original || student) + weight sum over layers |attention difference|^2

    Source: Chundawat, Tarun, Mandal, Kankanhalli, Zero-Shot Machine Unlearning, IEEE TIFS 2023
    (arXiv 2201.05629), as set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: nothing but the shape of an image and which classes are to be forgotten.
    Differs from the official code: the place of a stopped image is taken by one that passed, so
    that batches keep their size; when none passed, the loss is zero. Attention is compared after
    the activation of every convolution (the fully connected layers of the official list add
    nothing). KL is a mean over elements as in the official code. A transformer has one convolution,
    its patch embedding, and so one map; the study compares the outputs of its 12 encoder layers,
    but its loop hands the embeddings to every layer, so its values for a ViT were had on a network
    that is none.

    Args:
        cycles: how many latent batches are drawn; one serves a whole cycle.
        generator_steps: steps of the generator at the start of a cycle.
        student_steps: steps of the student after them.
        batch_size: images a step.
        latent: length of a latent vector.
        threshold: largest probability of the forgotten class that passes the gate, in [0, 1].
        attention_weight: weight of the attention term.
        lr: peak rate of the student's one-cycle schedule.
        generator_lr: rate of the generator.
        gradient_clip: largest gradient norm, None = none.
    """

    requires = ()
    tasks = ("classification",)
    forget_kinds = ("class",)
    version = 2

    def __init__(
        self,
        *,
        cycles: int,
        generator_steps: int,
        student_steps: int,
        batch_size: int,
        latent: int,
        threshold: float,
        attention_weight: float,
        lr: float,
        generator_lr: float,
        gradient_clip: float | None = None,
    ):
        super().__init__()
        self.cycles = int(check("cycles", cycles, low=1))
        self.generator_steps = int(check("generator_steps", generator_steps, low=1))
        self.student_steps = int(check("student_steps", student_steps, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=2))
        self.latent = int(check("latent", latent, low=1))
        self.threshold = check("threshold", threshold, low=0, high=1)
        self.attention_weight = check("attention_weight", attention_weight, low=0)
        self.lr = check("lr", lr, low=0, open_low=True)
        self.generator_lr = check("generator_lr", generator_lr, low=0, open_low=True)
        self.gradient_clip = gradient_clip

    def prepare(self) -> None:
        self.teacher = frozen_copy(self.net)
        self.images = ImageGenerator(self.latent, self.data.image_shape)
        self.images.to(self.device, next(self.net.parameters()).dtype)
        for module in self.net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, generator=self.device_generator)
        self.opened = torch.zeros((), device=self.device)

    def phases(self) -> list[Phase]:
        steps = self.cycles * (self.generator_steps + self.student_steps)
        clock = torch.zeros(steps, 1)  # a phase counts its data's batches; these hold nothing

        return [
            Phase(
                "transfer",
                data=Split.from_tensors(clock, torch.zeros(steps, dtype=torch.int64)),
                epochs=1,
                batch_size=1,
                order="stored",
                optimizer=optimizer("momentum", self.lr),
                scheduler=lambda optimizer, total, _: StudentCycle(optimizer, total),
                gradient_clip=self.gradient_clip,
                parameters=[
                    {"params": list(self.images.parameters()), "lr": self.generator_lr},
                    {"params": list(self.net.parameters()), "lr": self.lr},
                ],
            )
        ]

    def step_kind(self, batch: Batch) -> bool:
        """Whether the step trains the generator."""
        return self.step_of_cycle < self.generator_steps

    @property
    def step_of_cycle(self) -> int:
        return self.steps_done % (self.generator_steps + self.student_steps)

    def loss(self, batch: Batch) -> Tensor:
        generating = self.step_of_cycle < self.generator_steps
        if self.step_of_cycle == 0:
            self.latents = self.draw_latents()
        # Whoever is not trained gets no gradient, and the optimizer leaves it alone.
        self.net.requires_grad_(not generating)
        with torch.set_grad_enabled(generating):
            x, share = self.gated(self.images(self.latents))
            self.opened += share.detach()
            teacher, teacher_maps = outputs_and_attention(self.teacher, x)
        student, student_maps = outputs_and_attention(self.net, x)
        divergence = kl_divergence(student, soft_targets(teacher), reduction="element")
        if generating:
            return -share * divergence
        distance = sum(
            (theirs - ours).square().mean()
            for theirs, ours in zip(teacher_maps, student_maps, strict=True)
        )
        return share * (divergence + self.attention_weight * distance)

    def on_train_end(self) -> None:
        if not self.opened:
            log.warning(
                "GKT: no generated image passed the gate, so nothing was learned and the "
                "convolutions are those drawn anew: raise method.threshold, which is %g",
                self.threshold,
            )

    def draw_latents(self) -> Tensor:
        """Standard normal latent vectors `(batch_size, latent)` of one cycle."""
        return torch.randn(
            (self.batch_size, self.latent),
            generator=self.device_generator,
            device=self.device,
            dtype=next(self.net.parameters()).dtype,
        )

    def gated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images that pass the gate, repeated to a full batch, and 1 (0 when none passed)."""
        with torch.no_grad():
            probabilities = soft_targets(self.teacher(x))
        passed = gate(probabilities, self.data.forget_classes, self.threshold).int()
        first = passed.argsort(descending=True, stable=True)
        places = torch.arange(len(x), device=x.device) % passed.sum().clamp_min(1)
        return x[first[places]], passed.amax().to(x.dtype)
