"""Do intervals cover, and do tests keep their size? Measured where the truth is known.

    python benchmarks/coverage.py --bank STORE/outputs --json results/coverage.json
    python benchmarks/coverage.py --table results/coverage.json

The truth of a number is its expectation over sets of as many models on the same examples: the mean
over all worlds (`worlds.py`). The bank is a store with `python train.py seeds=512`; with
--originals also `role=original seeds=192`. Every third forget and fourth test example of the digits
is used, and forgetting quality sees a third of these forget examples: that only saves time.
Every world has retrained models and two rows of one kind, so that their difference is 0: how often
the test between rows calls it significant is its size. Distances are to twice as many retrained
models as a row has models, as from a store that holds more; attacks see as many as the row has. The
rows called memory are the size of the test that exchanges models (`unlearn/comparison/memory.py`),
between the two rows, which are of one kind.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environment import environment
from worlds import Models, Sampler, banked, simulated, two_classes

from unlearn.comparison.memory import relabelled
from unlearn.comparison.scoring import Resampling
from unlearn.evals.u_lira import ULiRA
from unlearn.metrics.differences import difference_test, holm
from unlearn.metrics.epsilon import epsilon_hat, median_epsilon
from unlearn.metrics.forgetting import competition_score, forgetting_quality
from unlearn.metrics.intervals import Interval, interval
from unlearn.metrics.means import (
    ModelMean,
    mean_difference,
    mean_interval,
    mean_of_pairs,
    mean_of_runs,
)
from unlearn.metrics.population import AttackResult, klom, rmia, u_lira
from unlearn.metrics.resampling import ModelDraws, restated, side_by_side
from unlearn.metrics.roc import auc
from unlearn.storage.predictions import Population

MODELS = (8, 16, 32, 64)
ROUND = 8  # worlds of every cell in a round
QUALITY = 16  # forget examples of forgetting quality, the dearest number
Z = 1.959964


def extreme(r: Models, u: Models, r_draws: Tensor, u_draws: Tensor) -> dict[str, Tensor]:
    """The headline number that is an extreme over thresholds, ``(replicates,)``."""
    sides = side_by_side(r.hinge, r_draws), side_by_side(u.hinge, u_draws)
    epsilons = epsilon_hat(*sides, None).view(len(r_draws), -1)
    return {"epsilon_hat/median": torch.tensor([median_epsilon(e) for e in epsilons]).double()}


def population_numbers(r: Models, u: Models, r_draws: Tensor, u_draws: Tensor) -> dict[str, Tensor]:
    """The other headline numbers of two populations in every replicate, ``(replicates,)`` each."""
    count = len(r_draws)

    def beside(name: str) -> tuple[Tensor, Tensor]:
        return side_by_side(getattr(r, name), r_draws), side_by_side(getattr(u, name), u_draws)

    odds, test_odds = beside("odds"), beside("test_odds")
    attack = u_lira(*odds, None)
    scores = [
        scores.view(len(scores), count, -1).transpose(0, 1).flatten(1)
        for scores in (attack.unlearned_scores, attack.retrained_scores)
    ]
    relative = [_rmia(r[i], u[j]) for i, j in zip(r_draws, u_draws, strict=True)]
    some = [side_by_side(p.odds[:, :QUALITY], d) for p, d in ((r, r_draws), (u, u_draws))]
    quality = forgetting_quality(*some, None).points.view(count, -1).mean(1)
    final = [
        competition_score(
            float(quality[b]),
            u.retain_accuracy[j],
            r.retain_accuracy[i],
            u.test_accuracy[j],
            r.test_accuracy[i],
        )
        for b, (i, j) in enumerate(zip(r_draws, u_draws, strict=True))
    ]
    return {
        "forgetting_quality/score": quality,
        "forgetting_quality/final": torch.tensor(final, dtype=torch.float64),
        "u_lira/accuracy": attack.per_example.view(count, -1).mean(1),
        "u_lira/auc": auc(*scores),
        "rmia/accuracy": torch.tensor([a.accuracy for a in relative], dtype=torch.float64),
        "rmia/auc": torch.tensor([a.auc for a in relative], dtype=torch.float64),
        "klom/mean": klom(*odds, None).view(count, -1).mean(1),
        "klom/test": klom(*test_odds, None).view(count, -1).mean(1),
    }


def _rmia(r: Models, u: Models) -> AttackResult:
    forget, test = (torch.zeros(v.shape[1], dtype=torch.long) for v in (r.odds, r.test_odds))
    images = two_classes(r.test_odds), two_classes(u.test_odds)
    return rmia(two_classes(r.odds), two_classes(u.odds), forget, *images, test)


def pair_distances(r: Models, u: Models) -> Tensor:
    """KL(r_j || u_i) on the forget set, mean over examples, ``(retrained, unlearned)`` nats."""
    p = r.log_p.exp().flatten(1)
    own = (p * r.log_p.flatten(1)).sum(1, keepdim=True)
    return (own - p @ u.log_p.flatten(1).T) / r.log_p.shape[1]


def judged(
    retrained: Models, rows: tuple[Models, Models], replicates: int, seed: int
) -> tuple[list[dict[str, Interval]], dict[str, float]]:
    """Intervals of both rows and the p-values of their difference.

    Args:
        retrained: at least as many as a row has models; the first of these meet the attacks.
        rows: of one kind.
        replicates, seed: of the draws of models.
    """
    models = len(rows[0])
    everyone = torch.arange(models)[None]
    r = retrained[everyone[0]]
    usual, fewer = (ModelDraws(replicates, seed, extremes) for extremes in (False, True))
    found: list[dict[str, tuple[float, Tensor]]] = []
    means: list[dict[str, ModelMean]] = []
    intervals: list[dict[str, Interval]] = []
    for name, u in zip("ab", rows, strict=True):
        drawn, of_extremes = (
            numbers(r, u, draws.of("retrained", models), draws.of(name, models))
            for numbers, draws in ((population_numbers, usual), (extreme, fewer))
        )
        drawn |= {key: restated(values, models) for key, values in of_extremes.items()}
        whole = population_numbers(r, u, everyone, everyone) | extreme(r, u, everyone, everyone)
        found.append({key: (float(whole[key]), drawn[key]) for key in whole})
        means.append(row_means(retrained, u, [(name, i) for i in range(models)]))
        intervals.append({k: interval(*found[-1][k], models) for k in found[-1]})
        intervals[-1] |= {k: mean_interval(mean) for k, mean in means[-1].items()}
    p_values = {k: difference_test(*found[0][k], *found[1][k], models).p_value for k in found[0]}
    p_values |= {k: mean_difference(means[0][k], means[1][k]).p_value for k in means[0]}
    return intervals, p_values


def row_means(retrained: Models, u: Models, keys: list[tuple[str, int]]) -> dict[str, ModelMean]:
    """The numbers of single models, as means over a row."""
    return {
        "divergence/forget_kl": mean_of_pairs(pair_distances(retrained, u).T, keys),
        "accuracy/test": mean_of_runs(u.test_accuracy, keys),
        "accuracy/forget": mean_of_runs((u.hinge > 0).double().mean(1), keys),
    }


def memory_p_values(rows: tuple[Models, Models], exchanges: int, seed: int) -> dict[str, float]:
    """Of the test that two rows differ, by exchanging models between them."""
    targets = {"forget": torch.zeros(rows[0].odds.shape[1], dtype=torch.long)}
    index = {"forget": torch.arange(rows[0].odds.shape[1])}
    one, other = (
        Population(tuple(map(str, range(len(u)))), {"forget": two_classes(u.odds)}, targets, index)
        for u in rows
    )
    test = relabelled(
        ULiRA(),
        one,
        other,
        None,  # type: ignore[arg-type]  # U-LiRA reads nothing of the problem
        ("accuracy", "auc"),
        Resampling(relabellings=exchanges, seed=seed),
    )
    return {f"memory:u_lira/{key}": found.p_value for key, found in test.items()}


class Cell:
    """Worlds of one kind at one number of models, and what their intervals and tests were worth."""

    def __init__(self, world: str, sampler: Sampler, models: int):
        self.world, self.sampler, self.models = world, sampler, models
        self.generator = torch.Generator().manual_seed(models)
        self.intervals: dict[str, list[Interval]] = defaultdict(list)
        self.p_values: dict[str, list[float]] = defaultdict(list)
        self.worlds, self.seconds = 0, 0.0

    def add(self, worlds: int, draws: int, exchanges: int) -> None:
        """Simulates so many more worlds."""
        begin = time.perf_counter()
        for _ in range(worlds):
            r, a, b = self.sampler(self.models, self.generator)
            both, tested = judged(r, (a, b), draws, seed=self.worlds)
            memory = memory_p_values((a, b), exchanges, seed=self.worlds)
            self.worlds += 1
            for key in both[0]:
                self.intervals[key] += [row[key] for row in both]
            for key, p in tested.items():
                self.p_values[key].append(p)
            usable = [p for p in tested.values() if not math.isnan(p)]
            self.p_values["any, Holm"].append(float(holm(usable).min()))
            for key, p in memory.items():
                self.p_values[key].append(p)
        self.seconds += time.perf_counter() - begin

    def summary(self) -> dict[str, object]:
        """Coverage, width over 2 x 1.96 true standard deviations, and size, by number."""
        numbers: dict[str, dict[str, float]] = {}
        for key, found in self.intervals.items():
            values = torch.tensor([i.estimate for i in found], dtype=torch.float64)
            values = values[values.isfinite()]
            truth, deviation = float(values.mean()), float(values.std())
            given = [i for i in found if not math.isnan(i.low)]
            covered = sum(i.low <= truth <= i.high for i in given)
            width = sum(i.high - i.low for i in given) / max(1, len(given))
            numbers[key] = {
                "truth": truth,
                "deviation": deviation,
                "intervals": len(given),
                "coverage": covered / len(given) if given else math.nan,
                "width": width / (2 * Z * deviation) if deviation > 0 else math.nan,
            }
        for key, p in self.p_values.items():
            size = sum(value < 0.05 for value in p) / len(p)
            numbers.setdefault(key, {})["size"] = size
        return {
            "world": self.world,
            "models": self.models,
            "worlds": self.worlds,
            "seconds": self.seconds,
            "numbers": numbers,
        }


def cells(bank: Path | None, originals: bool) -> Iterator[tuple[str, Sampler]]:
    """All kinds of worlds."""
    yield "simulated, null", simulated(0.0)
    yield "simulated, shifted", simulated(1.0)
    if bank is not None:
        for kind in ("null", "shifted", "originals")[: 3 if originals else 2]:
            yield f"digits, {kind}", banked(bank, kind)


def table(document: dict) -> str:
    """Markdown: a row for every number and number of models, a column for every kind of world."""
    kinds = list(dict.fromkeys(c["world"] for c in document["cells"]))
    keys = list(dict.fromkeys(k for c in document["cells"] for k in c["numbers"]))
    by_place = {(c["world"], c["models"]): c["numbers"] for c in document["cells"]}
    lines = [
        "| number | models | " + " | ".join(kinds) + " |",
        "|---|---|" + "---|" * len(kinds),
    ]
    for key in keys:
        for models in sorted({c["models"] for c in document["cells"]}):
            shown = [_shown(by_place.get((kind, models), {}).get(key)) for kind in kinds]
            lines.append(f"| {key} | {models} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def trusted_from(document: dict) -> dict[str, int | None]:
    """Models from which on a number's interval covers in 0.90 of every kind of world or more, at
    most twice as wide as it had to be (KLoM three times), by number; None where it never does."""
    result: dict[str, int | None] = {}
    for key in dict.fromkeys(k for c in document["cells"] for k in c["numbers"]):
        good = {c["models"]: True for c in document["cells"]}
        for c in document["cells"]:
            found = c["numbers"].get(key, {})
            widest = 3 if key.startswith("klom") else 2
            if found.get("intervals"):
                right = found["coverage"] >= 0.9 and found["width"] <= widest
                good[c["models"]] &= right
        if "coverage" in document["cells"][0]["numbers"].get(key, {}):
            bad = [models for models, fine in good.items() if not fine]
            above = [models for models in sorted(good) if models > max(bad, default=0)]
            result[key] = above[0] if above else None
    return result


def _shown(numbers: dict[str, float] | None) -> str:
    if numbers is None:
        return ""
    coverage = (
        f"{numbers['coverage']:.2f}, {numbers['width']:.1f}" if "coverage" in numbers else "-"
    )
    return coverage + (f", {numbers['size']:.2f}" if "size" in numbers else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=Path, help="folder of stored outputs of digits models")
    parser.add_argument("--originals", action="store_true", help="also rows of original models")
    parser.add_argument("--models", type=int, nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=10, help=f"of {ROUND} worlds in every cell")
    parser.add_argument("--draws", type=int, default=24, help="replicates")
    parser.add_argument("--exchanges", type=int, default=99, help="of models, in tests of memory")
    parser.add_argument("--json", type=Path, help="write the results here after every round")
    parser.add_argument("--table", type=Path, help="only print the table of such a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.table:
        document = json.loads(options.table.read_text())
        print(table(document))
        print("trusted from", trusted_from(document))
        return
    every = [
        Cell(world, sampler, models)
        for world, sampler in cells(options.bank, options.originals)
        for models in options.models
    ]
    document = {"benchmark": "coverage", "draws": options.draws, "environment": environment()}
    for finished in range(1, options.rounds + 1):
        for cell in every:
            cell.add(ROUND, options.draws, options.exchanges)
            print(f"round {finished}: {cell.world}, {cell.models} models", flush=True)
        document["cells"] = [cell.summary() for cell in every]
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(table(document))


if __name__ == "__main__":
    main()
