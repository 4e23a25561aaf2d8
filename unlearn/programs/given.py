"""The problem that somebody's own data and network state, without a config."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.given import Examples, read_table
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.last_rows import LastRowsForget
from unlearn.models.foreign import Logits, answers_tensor, dtype_of, reinitialised
from unlearn.problem import UnlearningProblem


def problem_from(
    net: nn.Module,
    forget: Any,
    retain: Any,
    test: Any = None,
    *,
    memory_gb: float = 2.0,
    redraw: bool = True,
    fresh: Callable[[], nn.Module] | None = None,
    name: str = "net",
) -> UnlearningProblem:
    """The problem that datasets and a network state.

    Args:
        net: the trained network.
        forget: dataset to forget, see `unlearn.api.unlearn_model`.
        retain: dataset to keep, None where there is none.
        test: examples that no model was trained on, None where there are none.
        memory_gb: tables of more gigabytes are read batch by batch.
        redraw: random transforms are drawn anew every time an example is read.
        fresh: makes a newly initialised network; None = `net` with every layer reset.
        name: of the argument that `net` came as, for messages.

    Raises:
        UserError: data or network that cannot be used, naming the argument.
    """
    if not isinstance(net, nn.Module):
        raise UserError(f"{name} must be a torch.nn.Module, got {type(net).__name__}")
    if isinstance(memory_gb, bool) or not isinstance(memory_gb, int | float) or memory_gb < 0:
        raise UserError(f"memory_gb must be a number of at least 0, got {memory_gb!r}")
    given = {
        key: data for key, data in (("retain", retain), ("forget", forget)) if data is not None
    }
    if "forget" not in given:
        raise UserError("forget: give the dataset of examples to forget")
    dtype = dtype_of(net)
    sides = [Examples(data, key, dtype) for key, data in given.items()]
    train, example = read_table(sides, limit=memory_gb * 1e9, redraw=redraw)
    plain, outputs = answers_tensor(copy.deepcopy(net), example, name)
    counts = {side.name: len(side) for side in sides}
    targets = dict(zip(counts, train.targets.split(list(counts.values())), strict=True))
    tables = {"train": train}
    if test is not None:
        held_out = Examples(test, "test", dtype)
        tables["test"], seen = read_table([held_out], limit=memory_gb * 1e9, redraw=redraw)
        targets["test"] = tables["test"].targets
        if seen.shape != example.shape:
            raise UserError(
                f"test: images have shape {tuple(seen.shape[1:])} and those of the forget set "
                f"{tuple(example.shape[1:])}: resize them to one shape"
            )
    else:
        tables["test"] = Table(train.images[:1][:0], train.targets[:0])
    task = task_of(targets, outputs, name)
    return _problem(
        tables, task, counts["forget"], partial(_fresh, net, fresh, plain), no_retain=retain is None
    )


def problem_of_targets(targets: Mapping[str, Tensor], outputs: int) -> UnlearningProblem:
    """The problem behind arrays of logits: no images, no network.

    Args:
        targets: `(examples,)` of `retain`, `forget` and `test`.
        outputs: classes, or 1 for regression.

    Raises:
        UserError: labels that do not fit.
    """
    task = task_of(targets, outputs, "unlearned")
    train = torch.cat([targets["retain"], targets["forget"]])
    tables = {
        role: Table(torch.zeros(len(y), 0), y)
        for role, y in (("train", train), ("test", targets["test"]))
    }

    def no_network() -> nn.Module:
        raise UserError("logits were given and no network, so none can be made")

    return _problem(tables, task, len(targets["forget"]), no_network)


def task_of(targets: Mapping[str, Tensor], outputs: int, name: str) -> Task:
    """Classification where labels are whole numbers, regression where they are real ones.

    Args:
        targets: labels by argument.
        outputs: of the network, per example.
        name: of the argument that has these outputs, for messages.

    Raises:
        UserError: labels of two kinds, out of range, or unlike the outputs.
    """
    real = {key for key, y in targets.items() if y.is_floating_point()}
    if real and real != set(targets):
        others = ", ".join(sorted(set(targets) - real))
        raise UserError(
            f"{', '.join(sorted(real))}: labels are real numbers and those of {others} whole ones; "
            "give all as class ids, or all as real numbers"
        )
    if real:
        if outputs != 1:
            raise UserError(
                f"{', '.join(sorted(real))}: labels are real numbers, which means regression, and "
                f"{name} has {outputs} outputs; give whole numbers as class ids"
            )
        return Task("regression", 1, "mse")
    for key, y in targets.items():
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= outputs:
            wrong = low if low < 0 else high
            hint = (
                "for regression give labels as real numbers"
                if outputs == 1
                else f"class ids go from 0 to {outputs - 1}"
            )
            raise UserError(
                f"{key}: label {wrong} is out of range for {outputs} outputs of {name}; {hint}"
            )
    return Task("classification", outputs)


def _problem(
    tables: dict[str, Table],
    task: Task,
    count: int,
    build_network: Callable[[], nn.Module],
    no_retain: bool = False,
) -> UnlearningProblem:
    train = tables["train"]
    return UnlearningProblem(
        tables=tables,
        task=task,
        forget=LastRowsForget(count, train.targets, task),
        build_network=build_network,
        recipe=None,
        description={},
        content_id="".join(table.digest() for table in tables.values()),
        name="given",
        allow_no_retain=no_retain,
    )


def _fresh(net: nn.Module, fresh: Callable[[], nn.Module] | None, plain: bool) -> nn.Module:
    made = reinitialised(net) if fresh is None else fresh()
    if not isinstance(made, nn.Module):
        raise UserError(f"fresh must return a torch.nn.Module, got {type(made).__name__}")
    return made if plain else Logits(made)


def check_seed(seed: Any) -> None:
    """Raises `UserError` where a seed is no whole number from 0 to 2**31 - 1."""
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= 2**31 - 1:
        raise UserError(f"seed must be a whole number from 0 to {2**31 - 1}, got {seed!r}")
