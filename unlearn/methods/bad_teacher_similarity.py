"""Competent and incompetent teachers with similarity-based sampling of the retain set."""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn.data.loaders import Loader, PairedLoader
from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.distillation import frozen_copy
from unlearn.methods.parts.interleaving import Alternating
from unlearn.methods.parts.layers import penultimate_features
from unlearn.methods.parts.optimizers import OptimizerName
from unlearn.methods.parts.sampling import fresh_seed
from unlearn.methods.parts.similarity import nearest, similarity_sample
from unlearn.methods.parts.stage import Stage
from unlearn.methods.parts.teachers import answers


class BadTeacherSimilarity(UnlearningMethod):
    """First trains an incompetent teacher on the retain set alone, so that it knows the task but
    has never seen the forget set. Then forget batches, answered by that teacher, alternate with
    retain batches answered by the original model. Retain images that resemble forget images are
    taken more often and weigh more, since they are what forgetting damages first.

        J = KL(T_retain || S) on forget,   J = w KL(T_original || S) on retain batches

    Source: the report of GISA, section 6.1.1, after Kaggle discussion 458648 (NeurIPS 2023 machine
    unlearning challenge).
    Reads: the forget set and the retain set.
    Differs from the official code: there is none in public. The neighbours (cosine of penultimate
    activations), the weights w (how often an example is a neighbour, at least 1, mean 1), the
    shares and the teacher's training are this project's definition.

    Args:
        neighbours: nearest retain examples counted for every forget example.
        similar_share: share of the retain sample that goes to the neighbours, in [0, 1].
        retain_scale: retain sample in multiples of the forget set.
        temperature: of student and teachers, > 0.
        teacher_lr: Adam's rate for the incompetent teacher.
        teacher_weight_decay: its L2 penalty.
        teacher_epochs: its passes over the retain set.
        lr: learning rate of the student.
        weight_decay: L2 penalty.
        epochs: passes over the retain sample.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)

    def __init__(
        self,
        *,
        neighbours: int,
        similar_share: float,
        retain_scale: float,
        temperature: float,
        teacher_lr: float,
        teacher_weight_decay: float,
        teacher_epochs: int,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "adam",
    ):
        super().__init__()
        self.neighbours = int(check("neighbours", neighbours, low=1))
        self.similar_share = check("similar_share", similar_share, low=0, high=1)
        self.retain_scale = check("retain_scale", retain_scale, low=0, open_low=True)
        self.temperature = check("temperature", temperature, low=0, open_low=True)
        self.teacher_stage = Stage(
            teacher_lr, teacher_epochs, batch_size, teacher_weight_decay, "adam", "teacher_"
        )
        self.stage = Stage(lr, epochs, batch_size, weight_decay, optimizer)

    def prepare(self) -> None:
        self.original = frozen_copy(self.net)
        fresh = self.data.fresh_network(fresh_seed(self.generator))
        self.teacher = fresh.to(self.device).train()
        retain, forget = (
            penultimate_features(
                self.net, self.data.loader(split, self.stage.batch_size, device=self.device)
            )
            for split in (self.data.retain, self.data.forget)
        )
        chosen = nearest(torch.cat(list(forget)), retain, self.neighbours)
        counts = chosen.flatten().cpu().bincount(minlength=len(self.data.retain))
        size = round(self.retain_scale * len(self.data.forget))
        positions, weights = similarity_sample(counts, size, self.similar_share, self.generator)
        self.sample = self.data.retain.take(positions)
        # Looked up by example id, which is what a batch carries; forget examples weigh 1.
        rows = 1 + int(self.data.split("mixed").index.max())
        self.weights = torch.ones(rows).scatter_(0, self.sample.index, weights).to(self.device)

    def phases(self) -> list[Phase]:
        parameters = list(self.teacher.parameters())
        return [
            self.teacher_stage.phase(
                "teacher", "retain", loss=self.teacher_loss, parameters=parameters
            ),
            self.stage.phase("teachers", self.sample, before=self.freeze_teacher),
        ]

    def make_loader(self, phase: Phase) -> Loader | PairedLoader:
        if phase.name == "teacher":
            return super().make_loader(phase)
        return Alternating(self._side(phase, self.sample), self._side(phase, self.data.forget))

    def freeze_teacher(self) -> None:
        self.teacher.eval().requires_grad_(False)

    def teacher_loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.teacher(batch.x), batch.y)

    def loss(self, batch: Batch) -> Tensor:
        target = answers(batch, self.original, self.teacher, self.temperature)
        student = (self.net(batch.x) / self.temperature).log_softmax(-1)
        divergence = F.kl_div(student, target, reduction="none").sum(-1)
        return (self.weights[batch.index] * divergence).mean()
