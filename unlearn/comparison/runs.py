"""Finished runs of a problem, in groups that differ in nothing but seeds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn

from unlearn.comparison.groups import Group, Kind, Member
from unlearn.errors import program
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.storage.folders import checksums
from unlearn.storage.records import RunRecord, records

log = logging.getLogger(__name__)

# Overrides that say which runs to make and not what a run is.
NOT_OF_A_RUN = {
    "seed", "seeds", "original_seed", "overwrite", "eval", "table", "save_model", "logger",
    "launcher", "hydra", "at_once", "control", "references",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Finished runs of a problem.

    Attributes:
        groups: by label.
        controls: of labels of groups, the control runs of the same method and values.
        left_out: runs that kept outputs of another sample of the retain set.
        runs: all of these groups.
    """

    groups: Sequence[Group]
    controls: Mapping[str, Group]
    left_out: int
    runs: Sequence[RunRecord] = ()


def method_groups(
    root: Path,
    problem: UnlearningProblem,
    retain_examples: int | None,
    original_weights: Callable[[int], str | None] = lambda seed: None,
    damaged: Container[Path] = (),
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
        damaged: folders of runs that are known to be; others that are found so are logged and left
            out.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    control_runs: dict[tuple[str, str], list[RunRecord]] = {}
    left_out = strangers = 0
    for folder in sorted(root.glob(f"*-{problem.digest[:10]}")):
        for record in records(folder):
            if record.folder in damaged or record.document["problem"]["digest"] != problem.digest:
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
        [run for runs in (*found.values(), *control_runs.values()) for run in runs],
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

    return Member(
        document["seed"],
        start_of(record),
        document["costs"],
        record.outputs,
        net if record.has_state else None,
        canonical_digest([checksums(record.folder)["outputs.safetensors"], document["costs"]]),
        document["metrics"],
        document["evaluations"],
    )
