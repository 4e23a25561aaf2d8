"""Time and memory of the population metrics on one CPU thread.

    python benchmarks/metrics.py --json metrics.json

Logits are synthetic: per-example difficulty, per-model noise, unlearned models somewhat more
confident. Each metric gets one warm-up call; the median of the repeats is printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environment import environment

from unlearn.metrics.epsilon import epsilon_hat
from unlearn.metrics.forgetting import forgetting_quality
from unlearn.metrics.population import klom, rmia, u_lira

# Seconds allowed for 80 + 80 models and 1,000 examples; scaled to an example where said so.
_LIMITS = {
    "epsilon_hat": 0.2,
    "forgetting_quality exact": 1000 * 0.002,
    "forgetting_quality competition": 1000 * 0.010,
    "klom": 0.5,
    "u_lira + rmia": 2.0,
}


def synthetic(models: int, examples: int, classes: int, shift: float, seed: int) -> Tensor:
    """Float32 logits ``(models, examples, classes)`` whose true class is class 0."""
    difficulty = torch.randn(examples, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(models, examples, classes, generator=generator)
    logits[..., 0] += 4 + 2 * difficulty + shift
    return logits


def measure(call: Callable[[], object], repeats: int) -> list[float]:
    """Wall times in seconds of ``repeats`` calls after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=80, help="models of each kind")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    torch.set_num_threads(1)

    shape = (options.models, options.examples, options.classes)
    labels = torch.zeros(options.examples, dtype=torch.long)
    retrained, unlearned = synthetic(*shape, 0.0, 0), synthetic(*shape, 0.7, 1)
    retrained_test, unlearned_test = synthetic(*shape, 0.0, 2), synthetic(*shape, 0.0, 3)

    def attacks() -> None:
        u_lira(retrained, unlearned, labels)
        rmia(retrained, unlearned, labels, retrained_test, unlearned_test, labels)

    calls: dict[str, Callable[[], object]] = {
        "epsilon_hat": lambda: epsilon_hat(retrained, unlearned, labels),
        "forgetting_quality exact": lambda: forgetting_quality(
            retrained, unlearned, labels, "exact"
        ),
        "forgetting_quality competition": lambda: forgetting_quality(retrained, unlearned, labels),
        "klom": lambda: klom(retrained, unlearned, labels),
        "u_lira + rmia": attacks,
    }
    standard = (options.models, options.examples) == (80, 1000)
    print(f"{options.models} + {options.models} models, {options.examples} examples, one thread")
    print(f"{'metric':32} {'seconds':>9} {'ms/example':>11} {'limit s':>8}")
    rows = []
    for name, call in calls.items():
        times = measure(call, options.repeats)
        seconds = statistics.median(times)
        limit = _LIMITS[name] if standard else None
        per_example = 1000 * seconds / options.examples
        print(f"{name:32} {seconds:9.3f} {per_example:11.4f} {limit if limit else '-':>8}")
        rows.append({"metric": name, "seconds": seconds, "all_seconds": times, "limit": limit})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak resident memory of the whole process: {peak:.2f} GiB (limit 2)")

    if options.json:
        result = {
            "benchmark": "metrics",
            "models": options.models,
            "examples": options.examples,
            "classes": options.classes,
            "results": rows,
            "peak_memory_gib": peak,
            "environment": environment(),
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
