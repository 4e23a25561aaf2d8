"""Competent and incompetent teachers (Bad Teacher, blindspot unlearning)."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.distillation import Reduction, frozen_copy, kl_divergence
from unlearn.methods.parts.optimizers import OptimizerName
from unlearn.methods.parts.sampling import fresh_seed, random_sample
from unlearn.methods.parts.stage import Stage
from unlearn.methods.parts.teachers import answers


class BadTeacher(UnlearningMethod):
    """Teaches the network to answer like the original model on retain images and like a randomly
    initialised network on forget images. The random teacher knows nothing, so neither will the
    student there. Only a sample of the retain set is needed.

        J = (1 - u) KL(T_original || S) + u KL(T_random || S),   u = 1 on forget examples

    Source: Chundawat, Tarun, Mandal, Kankanhalli, Can Bad Teaching Induce Forgetting?, AAAI 2023
    (arXiv 2205.08096); the report of GISA, section 4.3; the JiT study's blindspot in conf/tuned.
    Reads: the forget set and a random sample of the retain set.
    Differs from the official code: the divergence is summed over classes (`reduction: element`
    averages over them too, as the code does: a loss smaller by their number, which Adam's steps do
    not feel but for its epsilon, and weight decay against it and other optimizers do); the random
    teacher's seed is drawn so that it cannot be the one the original model started from.

    Args:
        retain_scale: retain sample in multiples of the forget set; give this or `retain_fraction`.
        retain_fraction: retain sample as a share of the retain set, in (0, 1].
        temperature: of student and teachers, > 0.
        reduction: `batch` or `element`, see above.
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over forget set and retain sample, shuffled together.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)

    def __init__(
        self,
        *,
        retain_scale: float | None = None,
        retain_fraction: float | None = None,
        temperature: float,
        reduction: Reduction = "batch",
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "adam",
    ):
        super().__init__()
        if (retain_scale is None) == (retain_fraction is None):
            raise UserError(
                "method: give exactly one of method.retain_scale and method.retain_fraction, "
                "and null for the other"
            )
        if retain_scale is not None:
            check("retain_scale", retain_scale, low=0, open_low=True)
        if retain_fraction is not None:
            check("retain_fraction", retain_fraction, low=0, high=1, open_low=True)
        self.retain_scale, self.retain_fraction = retain_scale, retain_fraction
        self.temperature = check("temperature", temperature, low=0, open_low=True)
        self.stage = Stage(lr, epochs, batch_size, weight_decay, optimizer)
        self.reduction = reduction

    def prepare(self) -> None:
        fresh = self.data.fresh_network(fresh_seed(self.generator))
        self.competent = frozen_copy(self.net)
        self.incompetent = frozen_copy(fresh).to(self.device)

    def phases(self) -> list[Phase]:
        retain, forget = self.data.retain, self.data.forget
        if self.retain_fraction is not None:
            count = self.retain_fraction * len(retain)
        else:
            assert self.retain_scale is not None
            count = self.retain_scale * len(forget)
        sample = random_sample(retain, count, self.generator)
        return [self.stage.phase("teachers", forget + sample)]

    def loss(self, batch: Batch) -> Tensor:
        target = answers(batch, self.competent, self.incompetent, self.temperature)
        return kl_divergence(self.net(batch.x), target, self.temperature, self.reduction)
