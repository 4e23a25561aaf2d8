"""The per-run evaluations against one forward pass of a model over every split, in turns.

    python benchmarks/evaluation.py --json evaluation.json

Trains the reference models of the default problem in a temporary folder first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workloads import alternating, job, paired_ratio, quiet, table, write

from unlearn.programs.composing import problem_of, settings_of
from unlearn.programs.plan import plan_unlearning
from unlearn.programs.unlearn import unlearn
from unlearn.storage.predictions import collect
from unlearn.training.fit import Costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eval", default="full", help="file in conf/eval")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--trainer", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        places = [f"paths.{name}={folder}/{name}" for name in ("store", "runs", "report")]
        chosen = (f"dataset={options.dataset}", f"trainer={options.trainer}", "logger=none")
        work = job("method=original", f"eval={options.eval}", *chosen, *places)
        unlearn(work)
        problem, settings = problem_of(work), settings_of(work)
        plan = plan_unlearning(work)
        references, yardstick = plan.references, plan.yardstick
        net = references.net("original", 0)
        keep = references.retain_examples
        forward = partial(collect, net, problem, problem.splits, settings, keep)
        costs = asdict(Costs.unknown())  # what a method paid does not matter here
        measure = partial(yardstick.measure, forward(), costs, 0, net)
        calls = {
            "forward pass": forward,
            "all evaluations": measure,
            **{
                name: partial(measure, evaluations={name: one})
                for name, one in yardstick.of_runs.items()
            },
        }
        timings = alternating(calls, options.repeats)
    rows = [
        {
            "what": name,
            "seconds": timed["median"],
            "ratio to forward pass": paired_ratio(timings, name, "forward pass"),
        }
        for name, timed in timings.items()
    ]
    table(rows)
    write(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
