"""Importances of a whole split against a plain loop over its batches, in turns.

    python benchmarks/importances.py --json importances.json
    python benchmarks/importances.py --trainer gpu --examples 50000 --json importances_gpu.json

The plain loop is what published code does: zero the gradients, backward, square `.grad` into a
copy on the CPU. Training speed (forward, backward, optimizer) is the third column to compare with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

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

from unlearn.methods.parts.importance import batch_importances
from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import settings_of
from unlearn.training.trainer import TrainerSettings


def case(
    name: str, problem: UnlearningProblem, settings: TrainerSettings, repeats: int
) -> list[dict[str, object]]:
    """Seconds of one pass over the retain set."""
    device, split = settings.device, problem.splits["retain"]
    assert problem.recipe is not None
    batch_size, epochs = problem.recipe.batch_size, problem.recipe.epochs
    net = problem.fresh_network(0).to(device).eval()
    trained = problem.fresh_network(0).to(device)
    loader = problem.loader(split, batch_size, device=device)

    def plain() -> None:
        totals = {key: torch.zeros(p.shape) for key, p in net.named_parameters()}
        for batch in loader:
            net.zero_grad()
            problem.task.criterion(net(batch.x), batch.y).backward()
            for key, parameter in net.named_parameters():
                if parameter.grad is not None:
                    totals[key] += parameter.grad.square().cpu() / len(loader)

    def ours() -> None:
        batch_importances(net, problem.task, loader)
        if device.type == "cuda":
            torch.cuda.synchronize()

    timings = alternating(
        {
            "plain loop": plain,
            "batch_importances": ours,
            "training, an epoch": lambda: bare_training(problem, trained, device),
        },
        repeats,
    )
    training = timings["training, an epoch"]
    training["seconds"] = [seconds / epochs for seconds in training["seconds"]]
    training["median"] /= epochs
    return [
        {
            "case": name,
            "what": label,
            "images/s": len(split) / timed["median"],
            "seconds": timed["median"],
            "ratio to plain": paired_ratio(timings, label, "plain loop"),
        }
        for label, timed in timings.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", default="cpu", help="file in conf/trainer")
    parser.add_argument("--examples", type=int, default=512, help="images for ResNet-18")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="*", default=["small_cnn", "resnet18"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    quiet()
    settings = settings_of(job(f"trainer={options.trainer}"))
    rows: list[dict[str, object]] = []
    if "small_cnn" in options.cases:
        rows += case("small_cnn on digits", digits(), settings, options.repeats)
    if "resnet18" in options.cases:
        shaped = cifar_shaped(options.examples)
        rows += case("ResNet-18, 32 x 32", shaped, settings, options.repeats)
    table(rows)
    write(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
