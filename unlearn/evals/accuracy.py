"""Accuracy, or mean absolute error, on every split."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.accuracy import accuracy, mean_absolute_error
from unlearn.problem import UnlearningProblem


class Accuracy(Evaluation):
    """Share of correct predictions by split; for regression the mean absolute error in the
    target's unit. Every example weighs the same. Right is what retrained models get, not 0 on
    the forget set. Where whole classes are forgotten, test accuracy is of the kept classes: that of
    all classes falls when a method does what it should.

    Source: UA, RA, TA of the unlearning literature, as in Jia et al., Model Sparsity Can Simplify
    Machine Unlearning, NeurIPS 2023 (arXiv 2304.04934).
    """

    splits = ("retain", "forget", "test")
    optional_splits = ("forget_test", "retain_test", "val", "unseen")
    quantities = {
        "retain": Quantity("retain", "closer", unit="%", headline=True),
        "forget": Quantity("forget", "closer", unit="%", headline=True),
        "test": Quantity("test", "higher", unit="%", headline=True),
        "forget_test": Quantity("forget test", "closer", unit="%"),
        "retain_test": Quantity("retain test", "higher", unit="%"),
        "val": Quantity("val", "higher", unit="%"),
        "unseen": Quantity("unseen", "higher", unit="%"),
    }

    def described(self, problem: UnlearningProblem) -> Mapping[str, Quantity]:
        if problem.task.is_classification:
            if "retain_test" not in problem.splits:
                return self.quantities
            # What may be kept is the test of utility.
            return {
                **self.quantities,
                "retain_test": replace(self.quantities["retain_test"], headline=True),
                "test": replace(self.quantities["test"], better="closer", headline=False),
            }
        unit = problem.task.unit
        return {
            name: replace(
                quantity,
                label=f"{quantity.label} error",
                better="closer" if quantity.better == "closer" else "lower",
                unit=unit,
            )
            for name, quantity in self.quantities.items()
        }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        score = accuracy if problem.task.is_classification else mean_absolute_error
        return {
            name: score(*predictions.pair)
            for name, predictions in outputs.unlearned.items()
            if name in self.quantities
        }
