"""The models a comparison is about, in groups, and the reference models among them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from unlearn.errors import program
from unlearn.problem import canonical_digest
from unlearn.storage.predictions import BySplit
from unlearn.storage.references import References, Role

log = logging.getLogger(__name__)

Kind = Literal["retrained", "do-nothing", "method"]

FREE = {
    "seconds": 0.0, "prepare_seconds": 0.0, "steps": 0, "examples_read": 0, "operations": 0,
    "peak_memory": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One model with its predictions.

    Attributes:
        seed: of the run, or of the reference model.
        original_seed: of the original model it started from, None for retrained models.
        costs: of the run or of the training.
        read: its predictions by split.
        net: its network, None where the weights were not kept.
        identity: changes when its predictions or costs do.
        metrics: numbers known from its record.
        evaluations: digests of the evaluations that gave them.
    """

    seed: int
    original_seed: int | None
    costs: Mapping[str, Any]
    read: Callable[[], BySplit]
    net: Callable[[], nn.Module] | None
    identity: str
    metrics: Mapping[str, float | None]
    evaluations: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Models that differ in nothing but seeds: one row of the comparison.

    Attributes:
        label: name of the row.
        kind: what the models are.
        members: the models, by seed.
        starts: `each` model has an original model of its own, or all have `one`; empty for
            retrained models.
        values: hyper-parameters of the method.
        more: command line without its number of seeds that makes more of them.
    """

    label: str
    kind: Kind
    members: tuple[Member, ...]
    starts: Literal["each", "one", ""]
    values: Mapping[str, Any]
    more: str

    def __len__(self) -> int:
        return len(self.members)

    def distinct(self) -> Group:
        """The group without models that answer exactly as an earlier one does: repeated runs of a
        method without chance on one original model, or copies of a run, are one model."""
        seen: set[bytes] = set()
        kept = []
        for member in self.members:
            answers = member.read()["forget"].logits.numpy().tobytes()
            if answers not in seen:
                seen.add(answers)
                kept.append(member)
        return replace(self, members=tuple(kept))

    @property
    def original(self) -> int | None:
        """The model that all members started from, None where each has its own."""
        return self.members[0].original_seed if self.starts == "one" else None

    @property
    def pair_keys(self) -> list[tuple[str, int | None, int | None]]:
        """What pairs the members with those of another group: models of equal keys started alike,
        from one original model each, or from the same one with the same seed."""
        if self.starts == "one":
            return [("one", m.original_seed, m.seed) for m in self.members]
        return [(self.starts, m.original_seed, None) for m in self.members]


def reference_group(references: References, role: Role, command: str) -> Group:
    """All reference models of a role that the store holds."""
    members = [reference(references, role, seed) for seed in references.bank(role)]
    train = program("train")
    if role == "retrained":
        return Group("retrained", "retrained", tuple(members), "", {}, f"{train}{command}")
    more = f"{train} role=original{command}"
    return Group("original", "do-nothing", tuple(members), "each", {}, more)


def reference(references: References, role: Role, seed: int) -> Member:
    """A reference model, trained first where the store lacks it.

    An original model is the outcome of doing nothing, which costs nothing, whatever its training
    did.
    """
    costs = {**references.costs(role, seed), **(FREE if role == "original" else {})}
    description = references.address(role, seed).description
    return Member(
        seed,
        seed if role == "original" else None,
        costs,
        partial(references.outputs, role, seed),
        partial(references.net, role, seed),
        canonical_digest([description, references.retain_examples, costs]),
        {},
        {},
    )
