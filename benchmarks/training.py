"""Our training loop against a hand-written one, in turns, and against the matrix-product peak.

    python benchmarks/training.py --json training.json
    python benchmarks/training.py --trainer gpu --examples 50000 --json training_gpu.json

Both loops do the same work: gather from resident uint8 images, normalise, forward, backward,
optimizer and schedule. Images per second include everything that `fit` does for a run.
"""

from __future__ import annotations

import argparse
import copy
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
    matmul_peak,
    paired_ratio,
    quiet,
    table,
    write,
)

from unlearn.methods.retrain import Retrain
from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import settings_of
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

RESNET18_FLOP = 3.33e9  # forward and backward pass of one 32 x 32 image


def case(
    name: str, problem: UnlearningProblem, variants: dict[str, TrainerSettings], repeats: int
) -> list[dict[str, object]]:
    """One row a variant, and the bare loop's."""
    start = problem.fresh_network(0)
    first = next(iter(variants.values()))

    def ours(settings: TrainerSettings) -> None:
        view = problem.view(("retain",))
        fit(Retrain(), copy.deepcopy(start), view, seed=0, settings=settings)

    def bare() -> None:
        net = copy.deepcopy(start).to(first.device)
        if first.channels_last:
            net.to(memory_format=torch.channels_last)
        bare_training(problem, net, first.device, first.precision)

    calls = {label: (lambda s=s: ours(s)) for label, s in variants.items()}
    timings = alternating({"bare": bare, **calls}, repeats)
    assert problem.recipe is not None
    images = problem.recipe.epochs * len(problem.splits["retain"])
    return [
        {
            "case": name,
            "loop": label,
            "images/s": images / timed["median"],
            "seconds": timed["median"],
            "ratio to bare": paired_ratio(timings, label, "bare"),
            "fastest ratio": timed["fastest"] / timings["bare"]["fastest"],
        }
        for label, timed in timings.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", default="cpu", help="file in conf/trainer for `ours`")
    parser.add_argument("--also", nargs="*", default=[], help="further trainers to compare")
    parser.add_argument("--examples", type=int, default=512, help="images of ResNet-18's epoch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="*", default=["small_cnn", "resnet18"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    quiet()
    variants = {
        f"ours, trainer={name}": settings_of(job(f"trainer={name}"))
        for name in (options.trainer, *options.also)
    }
    device = next(iter(variants.values())).device
    rows: list[dict[str, object]] = []
    if "small_cnn" in options.cases:
        rows += case("small_cnn on digits", digits(), variants, options.repeats)
    if "resnet18" in options.cases:
        shaped = cifar_shaped(options.examples)
        rows += case("ResNet-18, 32 x 32, batch 128", shaped, variants, options.repeats)
    peaks = {str(t): matmul_peak(device, t) for t in (torch.float32, torch.bfloat16)}
    table(rows)
    for dtype, peak in peaks.items():
        print(f"matrix products, {dtype}: {peak / 1e12:.3g} TFLOP/s")
    for row in rows:
        if "ResNet" in str(row["case"]):
            speed = float(str(row["images/s"])) * RESNET18_FLOP
            shares = {d: speed / peak for d, peak in peaks.items()}
            row["share of peak"] = shares
            print(row["loop"], *(f"{share:.0%} of {d}" for d, share in shares.items()))
    write(options.json, {"rows": rows, "peaks": peaks})


if __name__ == "__main__":
    main()
