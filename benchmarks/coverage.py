"""Do intervals cover, and do tests keep their size? Measured where the truth is known.

    python benchmarks/coverage.py --bank STORE/outputs --json results/coverage.json
    python benchmarks/coverage.py --table results/coverage.json

The truth of a number is its expectation over sets of as many models on the same examples: the mean
over all worlds. Simulated worlds have Gaussian log odds, correlation 0.3 between the examples of a
model through a random effect. Worlds of the bank are disjoint sets of the models in a store, with
`python train.py seeds=512` and, for the originals, `role=original seeds=192`; ``shifted`` adds one
standard deviation over models to every forget example's true-class logit. Every second example is
used, which only saves time.
Every world has retrained models and two rows of one kind, so that their difference is 0: how often
`difference_test` calls it significant is the size of the test.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environment import environment

from unlearn.metrics.differences import difference_test, holm
from unlearn.metrics.epsilon import epsilon_hat, median_epsilon
from unlearn.metrics.forgetting import competition_score, forgetting_quality
from unlearn.metrics.intervals import Interval, interval, mean_interval
from unlearn.metrics.population import AttackResult, klom, rmia, u_lira
from unlearn.metrics.resampling import ModelDraws, pair_mean_replicates, side_by_side
from unlearn.metrics.roc import auc
from unlearn.metrics.statistics import hinge_margin, logit_margin

WORLDS = {8: 150, 16: 150, 32: 100, 64: 60}
FORGET, TEST, CORRELATION = 72, 180, 0.3
RUNS = ("test_accuracy", "forget_accuracy")
Z = 1.959964


@dataclass
class Models:
    """What the numbers read of a population: ``(models, ...)`` each."""

    hinge: Tensor
    odds: Tensor
    test_odds: Tensor
    log_p: Tensor
    retain_accuracy: Tensor
    test_accuracy: Tensor

    def __getitem__(self, index: Tensor) -> Models:
        return Models(*(getattr(self, f.name)[index] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.odds)


def of_logits(forget: Tensor, targets: Tensor, test: Tensor, test_targets: Tensor, retain: Tensor):
    """Models from logits ``(models, examples, classes)`` and retain accuracies ``(models,)``."""
    test_odds = logit_margin(test, test_targets)
    return Models(
        hinge_margin(forget, targets),
        logit_margin(forget, targets),
        test_odds,
        forget.double().log_softmax(-1),
        retain,
        (hinge_margin(test, test_targets) > 0).double().mean(1),
    )


def two_classes(odds: Tensor) -> Tensor:
    """Logits of the true class, number 0, against the rest."""
    return torch.stack([odds, torch.zeros_like(odds)], -1)


def population_numbers(r: Models, u: Models, r_draws: Tensor, u_draws: Tensor) -> dict[str, Tensor]:
    """The headline numbers of two populations in every replicate, ``(replicates,)`` each."""
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
    quality = forgetting_quality(*odds, None).points.view(count, -1).mean(1)
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
    epsilons = epsilon_hat(*beside("hinge"), None).view(count, -1)
    return {
        "forgetting_quality/score": quality,
        "forgetting_quality/final": torch.tensor(final, dtype=torch.float64),
        "epsilon_hat/median": torch.tensor([median_epsilon(e) for e in epsilons]).double(),
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


Sampler = Callable[[int, torch.Generator], tuple[Models, Models, Models]]


def simulated(shift: float) -> Sampler:
    """Draws retrained models and two rows whose forget log odds are ``shift`` deviations higher."""
    fixed = torch.Generator().manual_seed(7)
    shape = FORGET + 2 * TEST
    location = 3 + 2 * torch.randn(shape, generator=fixed, dtype=torch.float64)
    scale = (0.3 * torch.randn(shape, generator=fixed, dtype=torch.float64)).exp()

    def population(models: int, moved: float, generator: torch.Generator) -> Models:
        effect = torch.randn(models, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(models, shape, generator=generator, dtype=torch.float64)
        standard = math.sqrt(CORRELATION) * effect + math.sqrt(1 - CORRELATION) * noise
        standard[:, :FORGET] += moved
        odds = location + scale * standard
        forget, test, retain = odds.split([FORGET, TEST, TEST], 1)
        zeros = torch.zeros(TEST, dtype=torch.long)
        right = (retain > 0).double().mean(1)
        return of_logits(two_classes(forget), zeros[:FORGET], two_classes(test), zeros, right)

    return lambda models, generator: (
        population(models, 0.0, generator),
        population(models, shift, generator),
        population(models, shift, generator),
    )


def banked(folder: Path, kind: str) -> Sampler:
    """Draws disjoint sets from stored models; ``kind`` is null, shifted or originals."""
    retrained = _bank(folder, "-retrained-")
    other = retrained
    if kind == "shifted":
        other = _bank(folder, "-retrained-", shift=1.0)
    elif kind == "originals":
        other = _bank(folder, "-original-")

    def draw(models: int, generator: torch.Generator) -> tuple[Models, Models, Models]:
        order = torch.randperm(len(retrained), generator=generator)
        r, a, b = (order[i * models : (i + 1) * models] for i in range(3))
        if kind == "originals":
            a, b = torch.randperm(len(other), generator=generator)[: 2 * models].split(models)
        return retrained[r], other[a], other[b]

    return draw


def _bank(folder: Path, name: str, shift: float = 0.0) -> Models:
    stored = [load_file(path) for path in sorted(folder.glob(f"*{name}*/tensors.safetensors"))]
    if not stored:
        raise SystemExit(f"{folder} holds no outputs of models *{name}*: see the head of the file")
    forget, test = (
        torch.stack([s[f"{part}/logits"] for s in stored]) for part in ("forget", "test")
    )
    targets, test_targets = stored[0]["forget/targets"], stored[0]["test/targets"]
    if shift:
        added = shift * logit_margin(forget, targets).std(0).float()
        forget[:, torch.arange(len(targets)), targets] += added
    right = [(s["retain/logits"].argmax(-1) == s["retain/targets"]).double().mean() for s in stored]
    return of_logits(forget, targets, test, test_targets, torch.stack(right))


def judged(
    r: Models, rows: tuple[Models, Models], draws: ModelDraws
) -> tuple[list[dict[str, Interval]], dict[str, float]]:
    """Intervals of both rows and the p-values of their difference."""
    models = len(r)
    r_draws = draws.retrained(models)
    found: list[dict[str, tuple[float, Tensor]]] = []
    intervals: list[dict[str, Interval]] = []
    everyone = torch.arange(models)[None]
    for name, u in zip("ab", rows, strict=True):
        u_draws = draws.unlearned(name, models)
        drawn = population_numbers(r, u, r_draws, u_draws)
        whole = population_numbers(r, u, everyone, everyone)
        numbers = {key: (float(whole[key]), drawn[key]) for key in whole}
        distances = pair_distances(r, u)
        numbers["divergence/forget_kl"] = (
            float(distances.mean()),
            pair_mean_replicates(distances, r_draws, u_draws),
        )
        found.append(numbers)
        intervals.append({k: interval(*numbers[k], models) for k in numbers})
        for key, values in _runs(u).items():
            intervals[-1][key] = mean_interval(values)
    first, second = found
    p_values = {k: difference_test(*first[k], *second[k], models).p_value for k in first}
    return intervals, p_values


def _runs(u: Models) -> dict[str, Tensor]:
    values = (u.test_accuracy, (u.hinge > 0).double().mean(1))
    return {f"accuracy/{name[:-9]}": v for name, v in zip(RUNS, values, strict=True)}


def cell(sampler: Sampler, models: int, worlds: int, draws: int) -> dict[str, dict[str, float]]:
    """Coverage, width and size of every number, at one number of models."""
    generator = torch.Generator().manual_seed(models)
    estimates: dict[str, list[float]] = defaultdict(list)
    intervals: dict[str, list[Interval]] = defaultdict(list)
    p_values: dict[str, list[float]] = defaultdict(list)
    for world in range(worlds):
        r, *rows = sampler(models, generator)
        both, tested = judged(r, tuple(rows), ModelDraws(draws, seed=world))
        for one in both:
            for key, found in one.items():
                intervals[key].append(found)
                estimates[key].append(found.estimate)
        for key, p in tested.items():
            p_values[key].append(p)
        usable = [p for p in tested.values() if not math.isnan(p)]
        p_values["any, Holm"].append(float(holm(usable).min()))
    result = {}
    for key, found in intervals.items():
        values = torch.tensor(estimates[key], dtype=torch.float64)
        values = values[values.isfinite()]
        truth, deviation = float(values.mean()), float(values.std())
        covers = [i.low <= truth <= i.high for i in found]
        widths = torch.tensor([i.high - i.low for i in found]).double()
        result[key] = {
            "truth": truth,
            "deviation": deviation,
            "coverage": sum(covers) / len(covers),
            "without": sum(math.isnan(i.low) for i in found) / len(found),
            "width": float(widths.nanmean()) / (2 * Z * deviation) if deviation else math.nan,
        }
    for key, p in p_values.items():
        size = sum(value < 0.05 for value in p) / len(p)
        result.setdefault(key, {})["size"] = size
    return result


def cells(bank: Path | None) -> Iterator[tuple[str, Sampler]]:
    """All kinds of worlds."""
    yield "simulated, null", simulated(0.0)
    yield "simulated, shifted", simulated(1.0)
    if bank is not None:
        for kind in ("null", "shifted", "originals"):
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
    parser.add_argument("--models", type=int, nargs="+", default=list(WORLDS))
    parser.add_argument("--worlds", type=int, help="worlds of every cell, instead of 60 to 150")
    parser.add_argument("--draws", type=int, default=40, help="replicates")
    parser.add_argument("--json", type=Path, help="write the results here, cell by cell")
    parser.add_argument("--table", type=Path, help="only print the table of such a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    document = {"benchmark": "coverage", "draws": options.draws, "cells": []}
    document["environment"] = environment()
    for models in options.models:
        for world, sampler in cells(options.bank):
            begin = time.perf_counter()
            worlds = options.worlds or WORLDS[models]
            numbers = cell(sampler, models, worlds, options.draws)
            seconds = time.perf_counter() - begin
            document["cells"].append(
                {
                    "world": world,
                    "models": models,
                    "worlds": worlds,
                    "seconds": seconds,
                    "numbers": numbers,
                }
            )
            print(f"{world}, {models} models, {worlds} worlds, {seconds:.0f} s", flush=True)
            if options.json:
                options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(table(document))


if __name__ == "__main__":
    main()
