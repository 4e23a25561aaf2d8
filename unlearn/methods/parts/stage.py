"""How one stage of a method trains; becomes a phase once there are data for it."""

from dataclasses import dataclass
from typing import Any

from unlearn.data.splits import Split
from unlearn.methods.base import Phase, check
from unlearn.methods.parts.optimizers import OptimizerName, optimizer


@dataclass(frozen=True)
class Stage:
    """Optimizer, rate, epochs and batch size, checked when the method is built.

    Attributes:
        lr: learning rate, > 0.
        epochs: passes, >= 1.
        batch_size: examples a step, >= 1.
        weight_decay: L2 penalty, >= 0.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
        prefix: of the names of rate and epochs among the method's settings, such as `twin_`.

    Raises:
        UserError: a value out of range.
    """

    lr: float
    epochs: int
    batch_size: int
    weight_decay: float = 0.0
    optimizer: OptimizerName = "nesterov"
    prefix: str = ""

    def __post_init__(self) -> None:
        check(f"{self.prefix}lr", self.lr, low=0, open_low=True)
        check(f"{self.prefix}epochs", self.epochs, low=1)
        check("batch_size", self.batch_size, low=1)
        check("weight_decay", self.weight_decay, low=0)

    def phase(self, name: str, data: str | Split, **how: Any) -> Phase:
        """The phase of this stage; `how` gives any other attribute of `Phase`."""
        return Phase(
            name,
            data=data,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=optimizer(self.optimizer, self.lr, self.weight_decay),
            **how,
        )
