"""What models answer on a problem's splits, and populations of such answers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.splits import Split
from unlearn.errors import UserError
from unlearn.problem import UnlearningProblem
from unlearn.training.trainer import TrainerSettings

EVALUATION_BATCH = 1024


@dataclass(frozen=True)
class Predictions:
    """Answers of one model on one split, on the CPU.

    Attributes:
        logits: `(N, C)` float32, or `(N, 1)` predictions for regression.
        targets: `(N,)` true classes or values.
        index: `(N,)` example ids.
    """

    logits: Tensor
    targets: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Logits and targets."""
        return self.logits, self.targets

    def sample(self, size: int) -> "Predictions":
        """The same `size` examples whenever it is asked; all of them where there are fewer."""
        if len(self) <= size:
            return self
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        rows = order[:size].sort().values
        return Predictions(self.logits[rows], self.targets[rows], self.index[rows])


BySplit = Mapping[str, Predictions]


@dataclass(frozen=True)
class Population:
    """Answers of many models of one kind on the same splits.

    Attributes:
        seeds: one id a model.
        logits: `(models, examples, classes)` by split; regression `(models, examples)`.
        targets: `(examples,)` by split.
        index: `(examples,)` by split.
    """

    seeds: tuple[str, ...]
    logits: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    index: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.seeds)

    @classmethod
    def of(cls, members: Mapping[str, BySplit], regression: bool = False) -> "Population":
        """Stack the predictions of members by name; splits that all of them have are kept."""
        everyone = list(members.values())
        names = set.intersection(*(set(member) for member in everyone)) if everyone else set()
        logits = {n: torch.stack([member[n].logits for member in everyone]) for n in names}
        return cls(
            tuple(members),
            {n: x.squeeze(-1) if regression else x for n, x in logits.items()},
            {n: everyone[0][n].targets for n in names},
            {n: everyone[0][n].index for n in names},
        )

    def reduce(self, statistic: Callable[[Tensor, Tensor], Tensor], *splits: str) -> "Population":
        """One number a model and example instead of logits, on these splits only.

        Args:
            statistic: of logits `(models, examples, classes)` and targets `(examples,)`. Regression
                populations are numbers already and stay as they are.
            splits: names of the splits that are kept.
        """
        return Population(
            self.seeds,
            {
                name: statistic(self.logits[name], self.targets[name])
                if self.logits[name].ndim == 3
                else self.logits[name]
                for name in splits
            },
            {name: self.targets[name] for name in splits},
            {name: self.index[name] for name in splits},
        )

    def take(self, models: Iterable[int]) -> "Population":
        """The models at these positions, with repetition where a bootstrap asks for it."""
        rows = list(models)
        return Population(
            tuple(self.seeds[i] for i in rows),
            {name: x[rows] for name, x in self.logits.items()},
            self.targets,
            self.index,
        )


def evaluated_split(problem: UnlearningProblem, name: str, retain_examples: int | None) -> Any:
    """A split as evaluations see it: of the retain set a fixed sample, of the others everything.

    Args:
        problem: the problem.
        name: split name.
        retain_examples: size of the retain sample, None = the whole retain set.
    """
    split = problem.splits[name]
    if name == "retain" and retain_examples is not None and len(split) > retain_examples:
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        split = split.take(order[:retain_examples].sort().values)
    return split


@torch.inference_mode()
def forward(
    net: nn.Module, problem: UnlearningProblem, split: Split, device: torch.device
) -> Tensor:
    """Outputs `(N, C)` of a network in evaluation mode for every example of a split, on the CPU."""
    loader = problem.loader(split, EVALUATION_BATCH, device=device)
    return torch.cat([net(batch.x) for batch in loader]).float().cpu()


def collect(
    net: nn.Module,
    problem: UnlearningProblem,
    splits: Iterable[str],
    settings: TrainerSettings,
    retain_examples: int | None,
) -> dict[str, Predictions]:
    """Forward every example of the splits once, in evaluation mode and full precision.

    Raises:
        UserError: an output is not a number.
    """
    device = settings.device
    net = net.to(device).eval()
    collected = {}
    for name in splits:
        split = evaluated_split(problem, name, retain_examples)
        logits = forward(net, problem, split, device)
        if not torch.isfinite(logits).all():
            raise UserError(
                f"the model's outputs on the {name} split are not finite: it has diverged; lower "
                "the learning rate"
            )
        collected[name] = Predictions(logits, split.targets, split.index)
    return collected


def pack(outputs: BySplit) -> dict[str, Tensor]:
    """Predictions as flat tensors for a file."""
    return {
        f"{name}/{part}": getattr(predictions, part)
        for name, predictions in outputs.items()
        for part in ("logits", "targets", "index")
    }


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Predictions]:
    """Inverse of `pack`."""
    names = {key.rsplit("/", 1)[0] for key in tensors}
    return {
        name: Predictions(*(tensors[f"{name}/{part}"] for part in ("logits", "targets", "index")))
        for name in sorted(names)
    }
