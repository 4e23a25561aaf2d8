"""Networks that somebody trained and unlearned by whatever means, as rows of a comparison."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from unlearn.comparison.given import check_originals, check_rows, given_group
from unlearn.comparison.groups import Group, Kind
from unlearn.errors import UserError
from unlearn.models.foreign import Logits, answers_tensor, check_alike
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import collect
from unlearn.training.trainer import TrainerSettings


class GivenModels:
    """Unlearned, retrained and original networks, checked.

    Args:
        unlearned: a network or several by the name of their row.
        retrained: a network or several, or none.
        original: one network that all started from, one for each unlearned network, or None.
        control: by the name of their row, networks that went through the same method and never saw
            the forget set; empty or None without any.
        name: of the argument that the unlearned networks came as, for messages.

    Raises:
        UserError: something is no network, a network is listed twice, networks of several
            architectures, or numbers of them that do not fit.
    """

    def __init__(
        self,
        unlearned: Mapping[str, Any],
        retrained: Any,
        original: Any,
        control: Mapping[str, Any] | None = None,
        *,
        name: str,
    ):
        several = len(unlearned) > 1 or name not in unlearned
        if not unlearned:
            raise UserError(f"{name}: give at least one model")
        self.name = name
        self.arguments = {
            label: f"{name}[{label!r}]" if several and name != "net" else name
            for label in unlearned
        }
        self.unlearned = {
            label: _networks(nets, self.arguments[label]) for label, nets in unlearned.items()
        }
        self.retrained = _networks(retrained, "retrained")
        self.originals = [] if original is None else _networks(original, "original")
        self.controls = {
            label: _networks(nets, f"control[{label!r}]") for label, nets in (control or {}).items()
        }
        check_rows(self.controls, self.unlearned, name)
        for label, nets in self.unlearned.items():
            if not nets:
                raise UserError(f"{self.arguments[label]}: give at least one model")
            check_originals(len(self.originals), len(nets), self.arguments[label])
        check_alike(self._named())

    @property
    def first(self) -> nn.Module:
        """The first unlearned network."""
        return next(iter(self.unlearned.values()))[0]

    @property
    def first_name(self) -> str:
        """How it is called in messages."""
        return self._named()[0][0]

    def _named(self) -> list[tuple[str, nn.Module]]:
        banks = {self.arguments[label]: nets for label, nets in self.unlearned.items()}
        banks |= {"retrained": self.retrained, "original": self.originals}
        banks |= {f"control[{label!r}]": nets for label, nets in self.controls.items()}
        return [
            (name if name == "net" else f"{name}[{number}]", net)
            for name, nets in banks.items()
            for number, net in enumerate(nets)
        ]

    def groups(
        self, problem: UnlearningProblem, settings: TrainerSettings, retain_examples: int | None
    ) -> tuple[list[Group], dict[str, Group]]:
        """Retrained models, the original and the unlearned models; control models by label.

        Every network runs once over every split; none is changed.

        Raises:
            UserError: answers that are not finite or not `(B, C)`.
        """
        whole = isinstance(retain_examples, int) and not isinstance(retain_examples, bool)
        if retain_examples is not None and not (whole and retain_examples > 0):
            raise UserError(
                f"retain_examples must be a whole number above 0, or None for all; got "
                f"{retain_examples!r}"
            )

        def group(
            label: str, kind: Kind, nets: Sequence[nn.Module], name: str, originals: int
        ) -> Group:
            copies, answers = [], []
            for number, net in enumerate(nets):
                called = name if name == "net" else f"{name}[{number}]"
                copied = partial(_copied, net, problem, called)
                try:
                    answers.append(
                        collect(copied(), problem, problem.splits, settings, retain_examples)
                    )
                except UserError as error:
                    told = str(error)
                    raise UserError(told if called in told else f"{called}: {told}") from None
                copies.append(copied)
            return given_group(label, kind, answers, copies, originals=originals)

        groups, starts = [], len(self.originals)
        if self.retrained:
            groups.append(group("retrained", "retrained", self.retrained, "retrained", 0))
        if starts:
            groups.append(group("original", "do-nothing", self.originals, "original", starts))
        for label, nets in self.unlearned.items():
            groups.append(group(label, "method", nets, self.arguments[label], starts))
        controls = {
            label: group(f"control of {label}", "method", nets, f"control[{label!r}]", 0)
            for label, nets in self.controls.items()
        }
        return groups, controls


def answering_tensors(net: nn.Module, problem: UnlearningProblem, name: str) -> nn.Module:
    """A network that answers with a tensor: itself, or wrapped; see `Logits`.

    Raises:
        UserError: it cannot be run on the problem's images, or has other outputs.
    """
    train = problem.tables["train"]
    plain, outputs = answers_tensor(net, train.transform(train.images[:1]), name)
    if outputs != problem.task.num_outputs:
        raise UserError(
            f"{name} has {outputs} outputs and the first model {problem.task.num_outputs}; models "
            "with the same classes are needed"
        )
    return net if plain else Logits(net)


def _copied(net: nn.Module, problem: UnlearningProblem, name: str) -> nn.Module:
    return answering_tensors(copy.deepcopy(net), problem, name).eval()


def _networks(given: Any, name: str) -> list[nn.Module]:
    nets = [given] if isinstance(given, nn.Module) else given
    if not isinstance(nets, Sequence) or isinstance(nets, str):
        raise UserError(f"{name} must be a network or a list of them, got {type(given).__name__}")
    found: dict[int, int] = {}
    for number, net in enumerate(nets):
        if not isinstance(net, nn.Module):
            raise UserError(f"{name}[{number}] must be a torch.nn.Module, got {type(net).__name__}")
        if id(net) in found:
            raise UserError(
                f"{name}[{number}] is the same object as {name}[{found[id(net)]}]: a model would "
                "be counted twice"
            )
        found[id(net)] = number
    return list(nets)
