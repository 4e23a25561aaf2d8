"""A bank of models trained together against one after another, and against a hand-written loop.

    python benchmarks/bank.py --json bank.json            # bank of 32 against single runs
    python benchmarks/bank.py --members 64 --totals       # 64 retrained models, 64 GISA runs
    python benchmarks/bank.py --guard --members 32        # are the two paths' models the same?
    python benchmarks/bank.py --trainer gpu --cifar 50000 --members 16 --epochs 30 --totals

The guard trains two banks of retrained models, one member at a time with seeds 0..N-1 and together
with seeds N..2N-1, and compares halves of one with halves of the other by the strong metrics. The
floor is the same comparison between halves of one bank, for either bank. Over 20 random draws each,
the fast path passes where the banks are on average no further apart than the furthest of the floor.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workloads import (
    alternating,
    bare_training,
    cifar_shaped,
    digits,
    job,
    paired_ratio,
    quiet,
    table,
    write,
)

from unlearn.metrics.epsilon import epsilon_hat, median_epsilon
from unlearn.metrics.forgetting import forgetting_quality
from unlearn.metrics.population import klom
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.composing import settings_of
from unlearn.programs.console import show_messages
from unlearn.storage.predictions import forward
from unlearn.training.bank import fit_bank
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.trainer import TrainerSettings

Nets = dict[int, nn.Module]


def retrained(
    problem: UnlearningProblem, seeds: range, settings: TrainerSettings, at_once: int | None
) -> Nets:
    """A bank of retrained models by seed."""
    nets: Nets = {}
    fit_bank(
        lambda seed: (
            ReferenceTraining("retain"),
            problem.fresh_network(seed),
            problem.view(("retain",)),
        ),
        seeds,
        settings=settings,
        at_once=at_once,
        finished=lambda seed, method, costs: nets.update({seed: method.net}),
    )
    return nets


def compare(
    problem: UnlearningProblem, settings: TrainerSettings, members: int, repeats: int
) -> dict[str, Any]:
    """Seconds a model of the bank, of single runs, and of the bare loop, in turns."""
    timings = alternating(
        {
            "bare": lambda: bare_training(
                problem, problem.fresh_network(0).to(settings.device), settings.device
            ),
            "one by one": lambda: retrained(problem, range(1), settings, 1),
            "bank": lambda: retrained(problem, range(members), settings, members),
        },
        repeats,
    )
    timings["bank"] = {
        "median": timings["bank"]["median"] / members,
        "fastest": timings["bank"]["fastest"] / members,
        "seconds": [s / members for s in timings["bank"]["seconds"]],
    }
    rows = [
        {
            "path": name,
            "seconds a model": timed["median"],
            "ratio to bare": paired_ratio(timings, name, "bare"),
            "fastest ratio": timed["fastest"] / timings["bare"]["fastest"],
        }
        for name, timed in timings.items()
    ]
    table(rows)
    return {"members": members, "rows": rows}


def totals(problem: UnlearningProblem, settings: TrainerSettings, members: int) -> dict[str, Any]:
    """Seconds of whole banks: retrained models, then GISA runs, with the number chosen."""
    begin = time.perf_counter()
    nets = retrained(problem, range(members), settings, None)
    middle = time.perf_counter()
    config = job("method=gisa").values["method"]
    fit_bank(
        lambda seed: (
            build(config, "method"),
            copy.deepcopy(nets[0]),
            problem.view(("retain", "forget")),
        ),
        range(members),
        settings=settings,
        finished=lambda *_: None,
    )
    end = time.perf_counter()
    rows = [
        {"bank": f"{members} retrained", "seconds": middle - begin},
        {"bank": f"{members} GISA runs", "seconds": end - middle},
        {"bank": "64 retrained, in proportion", "seconds": (middle - begin) * 64 / members},
    ]
    table(rows)
    return {"rows": rows}


def guard(problem: UnlearningProblem, settings: TrainerSettings, members: int) -> dict[str, Any]:
    """The strong metrics between single runs and a stacked bank, beside their noise floor."""
    plain = retrained(problem, range(members), settings, 1)
    stacked = retrained(problem, range(members, 2 * members), settings, members)
    split = problem.splits["forget"]
    outputs = [
        torch.stack([forward(net, problem, split, settings.device) for net in nets.values()])
        for nets in (plain, stacked)
    ]
    half = members // 2

    def measured(one: Tensor, other: Tensor) -> dict[str, float]:
        return {
            "forgetting quality": float(forgetting_quality(one, other, split.targets).score),
            "epsilon-hat, median": float(median_epsilon(epsilon_hat(one, other, split.targets))),
            "KLoM, mean": float(klom(one, other, split.targets).mean()),
        }

    generator = torch.Generator().manual_seed(0)
    floors: list[list[dict[str, float]]] = [[], []]
    crossed = []
    for _ in range(20):
        orders = [torch.randperm(members, generator=generator) for _ in range(2)]
        for floor, bank, order in zip(floors, outputs, orders, strict=True):
            floor.append(measured(bank[order[:half]], bank[order[half:]]))
        crossed.append(measured(outputs[0][orders[0][:half]], outputs[1][orders[1][:half]]))
    rows = []
    for name in crossed[0]:
        noise = [torch.tensor([values[name] for values in floor]) for floor in floors]
        both = torch.cat(noise)
        value = float(torch.tensor([values[name] for values in crossed]).mean())
        quality = name == "forgetting quality"  # the higher the closer; the others are distances
        rows.append(
            {
                "metric": name,
                "plain against stacked": value,
                "floor, plain": float(noise[0].mean()),
                "floor, stacked": float(noise[1].mean()),
                "floor from": float(both.min()),
                "floor to": float(both.max()),
                "passes": value >= float(both.min()) if quality else value <= float(both.max()),
            }
        )
    accuracies = [(logits.argmax(-1) == split.targets).double().mean(1) for logits in outputs]
    difference = float(accuracies[1].mean() - accuracies[0].mean())
    error = float(sum(a.var() / len(a) for a in accuracies) ** 0.5)
    table(rows)
    print(f"forget accuracy, stacked minus plain: {difference:+.4f} (95 % +-{1.96 * error:.4f})")
    interval = [difference - 1.96 * error, difference + 1.96 * error]
    return {"members": members, "rows": rows, "accuracy difference, 95 %": interval}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", default="cpu", help="file in conf/trainer")
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cifar", type=int, help="ResNet-18 on so many 32 x 32 images instead")
    parser.add_argument("--epochs", type=int, default=30, help="of ResNet-18")
    parser.add_argument("--guard", action="store_true", help="compare models instead of speed")
    parser.add_argument("--totals", action="store_true", help="time whole banks, once")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    quiet()
    show_messages()
    settings = settings_of(job(f"trainer={options.trainer}"))
    problem = cifar_shaped(options.cifar, options.epochs) if options.cifar else digits()
    if options.guard:
        results = guard(problem, settings, options.members)
    elif options.totals:
        results = totals(problem, settings, options.members)
    else:
        results = compare(problem, settings, options.members, options.repeats)
    write(options.json, results)


if __name__ == "__main__":
    main()
