"""Answers that come as arrays, checked and put in the form that models' answers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearn.comparison.given import check_originals, check_rows, given_group
from unlearn.comparison.groups import Group, Kind
from unlearn.errors import UserError
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import BySplit, Predictions

SPLITS = ("retain", "forget", "test")


class GivenLogits:
    """Logits of unlearned, retrained, original and control models, checked.

    Args:
        unlearned: logits by split, or such mappings by the name of their row.
        retrained: logits by split.
        original: of one model that all started from, of one for each unlearned model, or None.
        control: like `unlearned`, None without any.
        targets: labels by split.

    Raises:
        UserError: shapes or numbers of models that do not fit together.
    """

    def __init__(self, unlearned: Any, retrained: Any, original: Any, control: Any, targets: Any):
        self.targets = read_targets(targets)
        self.retrained = read_logits(retrained, self.targets, "retrained")
        self.outputs = self.retrained["forget"].shape[-1]
        self.original = None
        if original is not None:
            self.original = self._alike(original, "original", one=True)
        self.unlearned, self.controls = self._rows(unlearned, "unlearned"), {}
        if control is not None:
            self.controls = self._rows(control, "control")
        check_rows(self.controls, self.unlearned, "unlearned")
        for label, logits in self.unlearned.items():
            check_originals(self._starts, len(logits["forget"]), f"unlearned[{label!r}]")

    @property
    def _starts(self) -> int:
        return 0 if self.original is None else len(self.original["forget"])

    def _rows(self, given: Any, name: str) -> dict[str, dict[str, Tensor]]:
        several = isinstance(given, Mapping) and bool(given)
        if several and all(isinstance(arrays, Mapping) for arrays in given.values()):
            return {
                str(label): self._alike(arrays, f"{name}[{label!r}]")
                for label, arrays in given.items()
            }
        return {"unlearned": self._alike(given, name)}

    def _alike(self, arrays: Any, name: str, one: bool = False) -> dict[str, Tensor]:
        logits = read_logits(arrays, self.targets, name, one)
        if logits["forget"].shape[-1] != self.outputs:
            raise UserError(
                f"{name} has {logits['forget'].shape[-1]} classes and retrained {self.outputs}"
            )
        return logits

    def groups(self, problem: UnlearningProblem) -> tuple[list[Group], dict[str, Group]]:
        """Retrained models, the original and the unlearned models; control models by label."""

        def group(label: str, kind: Kind, logits: Mapping[str, Tensor], starts: int) -> Group:
            return given_group(label, kind, predictions_of(logits, problem), originals=starts)

        groups = [group("retrained", "retrained", self.retrained, 0)]
        if self.original is not None:
            groups.append(group("original", "do-nothing", self.original, self._starts))
        groups += [
            group(label, "method", logits, self._starts) for label, logits in self.unlearned.items()
        ]
        controls = {
            label: group(f"control of {label}", "method", logits, 0)
            for label, logits in self.controls.items()
        }
        return groups, controls


def read_targets(targets: Mapping[str, Any]) -> dict[str, Tensor]:
    """Labels `(examples,)` by split: int64 class ids or real numbers.

    Raises:
        UserError: a split is missing or empty, or no array of numbers.
    """
    _check_splits(targets, "targets")
    found = {}
    for split in SPLITS:
        y = _tensor(targets[split], f"targets[{split!r}]")
        if y.ndim != 1 or not len(y):
            raise UserError(
                f"targets[{split!r}] has shape {tuple(y.shape)}; one label an example is needed"
            )
        found[split] = y if y.is_floating_point() else y.long()
    return found


def read_logits(
    arrays: Mapping[str, Any], targets: Mapping[str, Tensor], name: str, one: bool = False
) -> dict[str, Tensor]:
    """Logits `(models, examples, classes)` by split, float32.

    Args:
        arrays: of these shapes; for regression `(models, examples)`.
        targets: labels by split.
        name: of the argument, for messages.
        one: a single model may come without the models axis.

    Raises:
        UserError: a split is missing, or shapes do not fit together.
    """
    _check_splits(arrays, name)
    real = targets["forget"].is_floating_point()
    wanted = "(models, examples)" if real else "(models, examples, classes)"
    found = {}
    for split in SPLITS:
        where = f"{name}[{split!r}]"
        x = _tensor(arrays[split], where)
        if real and x.ndim >= 2 and x.shape[-1] == 1 and x.shape[-2] == len(targets[split]):
            x = x.squeeze(-1)
        if one and x.ndim == (1 if real else 2):
            x = x[None]
        if x.ndim != (2 if real else 3) or not len(x):
            raise UserError(f"{where} has shape {tuple(x.shape)}; {wanted} is needed")
        if x.shape[1] != len(targets[split]):
            raise UserError(
                f"{where} has {x.shape[1]} examples and targets[{split!r}] {len(targets[split])}"
            )
        if not bool(x.isfinite().all()):
            raise UserError(f"{where} holds values that are not finite")
        found[split] = x.float()[..., None] if real else x.float()
    for axis, what in ((0, "models"), (2, "classes")):
        sizes = {split: x.shape[axis] for split, x in found.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{split} {size}" for split, size in sizes.items())
            raise UserError(f"{name}: the splits have different numbers of {what}: {told}")
    return found


def predictions_of(logits: Mapping[str, Tensor], problem: UnlearningProblem) -> Sequence[BySplit]:
    """What each model answers on every split of the problem."""
    tables = {"train": torch.cat([logits["retain"], logits["forget"]], 1), "test": logits["test"]}
    of_split = {
        name: (tables["train" if name in ("retain", "forget") else "test"][:, split.index], split)
        for name, split in problem.splits.items()
    }
    return [
        {
            name: Predictions(x[model], split.targets, split.index)
            for name, (x, split) in of_split.items()
        }
        for model in range(len(logits["forget"]))
    ]


def _check_splits(arrays: Any, name: str) -> None:
    if not isinstance(arrays, Mapping) or not set(SPLITS) <= set(arrays):
        has = (
            f"it has {', '.join(map(str, arrays))}" if isinstance(arrays, Mapping) else "it is none"
        )
        raise UserError(f"{name} must be a mapping with {', '.join(SPLITS)}; {has}")


def _tensor(value: Any, where: str) -> Tensor:
    try:
        return torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{where} is no array of numbers: {error}") from None
