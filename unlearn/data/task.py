"""What a model predicts, and the criterion it is trained with."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn.errors import UserError

CRITERIA = {"classification": ("cross_entropy",), "regression": ("l1", "mse")}


@dataclass(frozen=True)
class Task:
    """Classification over `num_outputs` classes, or regression of one number.

    Attributes:
        kind: the task type.
        num_outputs: classes, or 1 for regression.
        criterion_name: `cross_entropy`, or `l1` / `mse` for regression.
        class_weights: one weight a class for cross-entropy, or None.
        class_names: readable names, where the dataset has them.
        unit: unit of a regression target, such as `years`.
    """

    kind: Literal["classification", "regression"]
    num_outputs: int
    criterion_name: str = "cross_entropy"
    class_weights: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        if self.criterion_name not in CRITERIA[self.kind]:
            raise UserError(
                f"criterion {self.criterion_name!r} does not fit a {self.kind} task: "
                f"use one of {', '.join(CRITERIA[self.kind])}"
            )

    @property
    def is_classification(self) -> bool:
        return self.kind == "classification"

    def criterion(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Training loss.

        Args:
            outputs: logits `(B, C)`, or predictions `(B, 1)` for regression.
            targets: class ids `(B,)`, or real targets `(B,)`.
            reduction: `mean`, `sum` or `none`, as in torch.
        """
        if self.kind == "regression":
            function = F.l1_loss if self.criterion_name == "l1" else F.mse_loss
            return function(outputs.squeeze(-1), targets.to(outputs.dtype), reduction=reduction)
        weight = None
        if self.class_weights is not None:
            weight = torch.tensor(self.class_weights, dtype=outputs.dtype, device=outputs.device)
        return F.cross_entropy(outputs, targets, weight=weight, reduction=reduction)
