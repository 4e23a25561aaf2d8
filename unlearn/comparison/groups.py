"""The models a comparison is about: finished runs in groups, and the reference models."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unlearn.errors import program
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.storage.predictions import BySplit
from unlearn.storage.records import RunRecord, records
from unlearn.storage.references import References, Role

log = logging.getLogger(__name__)

Kind = Literal["retrained", "do-nothing", "method"]
# Overrides that say which runs to make and not what a run is.
NOT_OF_A_RUN = {
    "seed", "seeds", "original_seed", "overwrite", "eval", "table", "save_model", "logger",
    "launcher", "hydra", "at_once", "control", "references",
}  # fmt: skip

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
    def pair_keys(self) -> list[int | None]:
        """What pairs the members with those of another group with the same `starts`."""
        return [m.seed if self.starts == "one" else m.original_seed for m in self.members]


def reference_group(references: References, role: Role, command: str) -> Group:
    """All reference models of a role that the store holds."""
    members = [reference(references, role, seed) for seed in references.bank(role)]
    train = program("train")
    if role == "retrained":
        return Group("retrained", "retrained", tuple(members), "", {}, f"{train}{command}")
    more = f"{train} role=original{command}"
    return Group("original", "do-nothing", tuple(members), "each", {}, more)


@dataclass(frozen=True)
class Found:
    """Finished runs of a problem.

    Attributes:
        groups: by label.
        controls: of labels of groups, the control runs of the same method and values.
        left_out: runs that kept outputs of another sample of the retain set.
    """

    groups: Sequence[Group]
    controls: Mapping[str, Group]
    left_out: int


def method_groups(
    root: Path,
    problem: UnlearningProblem,
    retain_examples: int | None,
    original_weights: Callable[[int], str | None] = lambda seed: None,
) -> Found:
    """Groups of the problem's finished runs.

    Runs of one method and one set of hyper-parameters make a group of runs that share an original
    model, or one of runs with an original model each, or both. Of several runs of one seed, as
    where a file of weights was replaced, the last one counts.

    Args:
        root: folder of all runs.
        problem: the problem; runs of others are not looked at.
        retain_examples: size of the retain sample; runs that kept another are left out.
        original_weights: from a seed to the hash of an original model that was trained elsewhere,
            None for one trained here; runs that started from other ones are left out and logged.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    control_runs: dict[tuple[str, str], list[RunRecord]] = {}
    left_out = strangers = 0
    for folder in sorted(root.glob(f"*-{problem.digest[:10]}")):
        for record in records(folder):
            if record.document["problem"]["digest"] != problem.digest:
                continue
            if record.document["retain_examples"] != retain_examples:
                left_out += 1
                continue
            document = record.document
            # Values tell sets of files apart, whose paths are no part of a folder's name.
            key = (record.folder.parent.name, canonical_digest(document["method"]["values"]))
            if document.get("control"):
                control_runs.setdefault(key, []).append(record)
            elif document.get("original_weights") != original_weights(document["original_seed"]):
                strangers += 1
            else:
                found.setdefault(key, []).append(record)
    if strangers:
        log.warning(
            "%d runs started from other original models (references.original_file) and are left "
            "out",
            strangers,
        )
    groups = {
        (folder, group.starts, group.original, values): group
        for (folder, values), runs in found.items()
        for group in _by_starts(_last(runs), problem)
    }
    controls = {
        (folder, group.starts, group.original, values): group
        for (folder, values), runs in control_runs.items()
        for group in _by_starts(_last(runs), problem)
    }
    named = dict(zip(groups, _told_apart(list(groups.values())), strict=True))
    return Found(
        sorted(named.values(), key=lambda g: g.label),
        {named[which].label: controls[which] for which in named if which in controls},
        left_out,
    )


def _last(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """One run of every seed and original model, the one that was finished last."""
    by_seeds: dict[tuple[int, int], RunRecord] = {}
    for run in sorted(runs, key=lambda run: run.document["finished"]):
        by_seeds[start_of(run), run.document["seed"]] = run
    return list(by_seeds.values())


def _by_starts(runs: Sequence[RunRecord], problem: UnlearningProblem) -> list[Group]:
    by_original: dict[int, list[RunRecord]] = {}
    for run in runs:
        by_original.setdefault(start_of(run), []).append(run)
    document = runs[0].document
    name = document["method"]["name"]
    kept = [o for o in document["overrides"] if o.lstrip("+~").split("=")[0].split(".")[0]
            not in NOT_OF_A_RUN]  # fmt: skip
    command = " ".join([program("unlearn"), *(f"'{o}'" if " " in o else o for o in kept)])
    make = partial(_run, problem=problem)

    def group(chosen: Iterable[RunRecord], starts: Literal["each", "one"], more: str) -> Group:
        members = sorted(map(make, chosen), key=lambda m: (m.original_seed, m.seed))
        kind: Kind = "do-nothing" if name == "original" else "method"
        return Group(name, kind, tuple(members), starts, document["method"]["values"], more)

    # One run of every original model: that of the original's own seed where there is one.
    each = [
        min(same, key=lambda r: (r.document["seed"] != original, r.document["seed"]))
        for original, same in sorted(by_original.items())
    ]
    groups = []
    if len(each) > 1 or name == "original":
        groups.append(group(each, "each", f"{command} original_seed=seed"))
        if name == "original":  # its runs of one original model are all the same
            return groups
    for original, same in sorted(by_original.items()):
        if len(same) > 1 or not groups:
            start = f" original_seed={original}" if original else ""
            groups.append(group(same, "one", command + start))
    return groups


def _told_apart(groups: Sequence[Group]) -> list[Group]:
    """Adds to labels what distinguishes groups of one method: values, then starting models."""
    result = []
    for group in groups:
        same = [g for g in groups if g.label == group.label]
        differing = [
            key
            for key in sorted({key for g in same for key in g.values})
            if any(g.values.get(key) != group.values.get(key) for g in same)
        ]
        words = [f"{key}={group.values.get(key)}" for key in differing]
        if sum(g.values == group.values for g in same) > 1:
            own = f"original {group.members[0].original_seed}"
            words.append("an original each" if group.starts == "each" else own)
        result.append(
            replace(group, label=f"{group.label} ({', '.join(words)})") if words else group
        )
    return result


def start_of(run: RunRecord) -> int:
    """Seed of the original model that a run started from; of a control run, of the one whose place
    its retrained model took."""
    control = run.document.get("control")
    return run.document["original_seed"] if control is None else control["retrained_seed"] // 2


def _run(record: RunRecord, problem: UnlearningProblem) -> Member:
    document = record.document

    def net() -> nn.Module:
        network = problem.fresh_network(0)
        network.load_state_dict(record.state() or {})
        return network.eval()

    sums = json.loads((record.folder / "checksums.json").read_text())
    return Member(
        document["seed"],
        start_of(record),
        document["costs"],
        record.outputs,
        net if (record.folder / "model.safetensors").exists() else None,
        canonical_digest([sums["outputs.safetensors"], document["costs"]]),
        document["metrics"],
        document["evaluations"],
    )


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
