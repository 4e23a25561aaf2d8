"""Models that only look as if they had forgotten: what exposes each of them?

    python benchmarks/cheats.py --bank STORE/outputs --json results/cheats.json --markdown cheats.md
    python benchmarks/cheats.py --table results/cheats.json --markdown cheats.md

The bank is a store with `python train.py seeds=128` and `role=original seeds=32`. The cheats are
made from its logits and compared in one table, as a user would. The cheater has retrained models of
its own, none of which is among those that the table measures by (but where the cheat is to copy).

A cheat is a function of outputs and of a forget set. Its control models are what it makes of
retrained models when it is told to forget another set: on the forget set they answer as retrained
models do, unless the cheat changes all outputs alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unlearn.api import compare_logits
from unlearn.comparison.flags import badness
from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.result import NOISE_FLOOR
from unlearn.comparison.scoring import Resampling
from unlearn.metrics.statistics import logit_margin
from unlearn.problem import UnlearningProblem
from unlearn.report.results import Results
from unlearn.storage.predictions import forward
from unlearn.training.bank import fit_bank
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.trainer import TrainerSettings

SPLITS = ("retain", "forget", "test")
EVALUATIONS = (
    "accuracy", "divergence", "forgetting_quality", "epsilon_hat", "u_lira", "rmia", "klom",
)  # fmt: skip
HONEST = "truly retrained"
DEFAULT = Resampling()
RETAIN_EXAMPLES = 300  # only their accuracy is read

Logits = dict[str, Tensor]


@dataclass(frozen=True)
class Bank:
    """Logits `(models, examples, classes)` by split, of models with an independent seed each.

    Attributes:
        retrained: what the table measures by, twice as many as of the others.
        own: retrained models of the cheater.
        own_control: retrained models that control runs start from.
        originals: models that saw the forget set.
        targets: labels `(examples,)` by split.
    """

    retrained: Logits
    own: Logits
    own_control: Logits
    originals: Logits
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.originals["forget"])

    def take(self, count: int) -> Bank:
        """The first `count` models of every kind."""
        kinds = (self.retrained, self.own, self.own_control, self.originals)
        some = [
            {name: x[: count * (2 if i == 0 else 1)] for name, x in kind.items()}
            for i, kind in enumerate(kinds)
        ]
        return Bank(*some, self.targets)


def trained(problem: UnlearningProblem, models: int) -> Bank:
    """Train 4 `models` retrained and `models` original networks, and keep their logits."""
    retrained = _logits(problem, "retain", range(4 * models))
    parts = {name: x.split([2 * models, models, models]) for name, x in retrained.items()}
    kinds = [{name: part[i] for name, part in parts.items()} for i in range(3)]
    targets = {name: problem.splits[name].targets for name in SPLITS}
    targets["retain"] = targets["retain"][:RETAIN_EXAMPLES]
    return Bank(*kinds, _logits(problem, "mixed", range(models)), targets)


def stored(folder: Path, models: int) -> Bank:
    """The same of a store's outputs."""

    def kind(name: str, count: int) -> dict[str, Tensor]:
        files = sorted(folder.glob(f"*-{name}-seed*/tensors.safetensors"))[:count]
        if len(files) < count:
            raise SystemExit(f"{folder} holds {len(files)} {name} models, {count} are needed")
        found = [load_file(file) for file in files]
        labels = {f"{split} targets": found[0][f"{split}/targets"] for split in SPLITS}
        logits = {split: torch.stack([f[f"{split}/logits"] for f in found]) for split in SPLITS}
        for values in (labels, logits):
            values.update(
                {
                    n: x[..., :RETAIN_EXAMPLES, :] if x.ndim == 3 else x[:RETAIN_EXAMPLES]
                    for n, x in values.items()
                    if n.startswith("retain")
                }
            )
        return {**logits, **labels}

    retrained, originals = kind("retrained", 4 * models), kind("original", models)
    targets = {split: retrained[f"{split} targets"] for split in SPLITS}
    parts = {name: retrained[name].split([2 * models, models, models]) for name in SPLITS}
    kinds = [{name: part[i] for name, part in parts.items()} for i in range(3)]
    return Bank(*kinds, {name: originals[name] for name in SPLITS}, targets)


def _logits(problem: UnlearningProblem, data: str, seeds: Sequence[int]) -> Logits:
    found: dict[int, Logits] = {}
    requires = ("retain",) if data == "retain" else ("retain", "forget")

    def finished(seed: int, method: Any, costs: Any) -> None:
        found[seed] = {
            name: forward(method.net.eval(), problem, problem.splits[name], torch.device("cpu"))
            for name in SPLITS
        }
        found[seed]["retain"] = found[seed]["retain"][:RETAIN_EXAMPLES]

    fit_bank(
        lambda seed: (
            ReferenceTraining(data), problem.fresh_network(seed), problem.view(requires),
        ),
        seeds,
        settings=TrainerSettings(accelerator="cpu"),
        finished=finished,
    )  # fmt: skip
    return {name: torch.stack([found[seed][name] for seed in seeds]) for name in SPLITS}


@dataclass(frozen=True)
class Made:
    """What a cheat made: the models it shows, and its control models."""

    unlearned: Logits
    control: Logits


def with_margins(logits: Tensor, margins: Tensor, targets: Tensor) -> Tensor:
    """Logits whose true class has these log odds `(models, examples)`; the others stay."""
    painted = logits.clone()
    rows = torch.arange(len(targets))
    others = logits.clone()
    others[:, rows, targets] = -torch.inf
    painted[:, rows, targets] = (margins + others.double().logsumexp(-1)).float()
    return painted


def _of_forget(change: Callable[[Bank, Tensor, Tensor], Tensor]) -> Callable[[Bank], Made]:
    """A cheat that changes what the original answers on the forget set.

    Args:
        change: from the bank, forget logits and their margins to new logits.
    """

    def made(bank: Bank) -> Made:
        logits = bank.originals["forget"]
        changed = change(bank, logits, logit_margin(logits, bank.targets["forget"]))
        return Made({**bank.originals, "forget": changed}, bank.own_control)

    return made


def _painted(rearranged: Callable[[Tensor, Bank], Tensor]) -> Callable[[Bank], Made]:
    """The margins of the cheater's retrained models on the original's outputs."""

    def change(bank: Bank, logits: Tensor, margins: Tensor) -> Tensor:
        targets = bank.targets["forget"]
        wanted = logit_margin(bank.own["forget"], targets)
        return with_margins(logits, rearranged(wanted, bank), targets)

    return _of_forget(change)


def _shifted(bank: Bank, logits: Tensor, margins: Tensor) -> Tensor:
    """Margins moved to the retrained mean of each example, noise where these vary more."""
    targets = bank.targets["forget"]
    wanted = logit_margin(bank.own["forget"], targets)
    noise = torch.randn(margins.shape, generator=_generator(), dtype=margins.dtype)
    missing = (wanted.var(0) - margins.var(0)).clamp(min=0).sqrt()
    return with_margins(
        logits, margins - margins.mean(0) + wanted.mean(0) + missing * noise, targets
    )


def _swapped(margins: Tensor, bank: Bank) -> Tensor:
    return margins[:, torch.randperm(margins.shape[1], generator=_generator())]


def _swapped_in_class(margins: Tensor, bank: Bank) -> Tensor:
    generator, found = _generator(), margins.clone()
    for label in bank.targets["forget"].unique():
        rows = (bank.targets["forget"] == label).nonzero()[:, 0]
        found[:, rows] = margins[:, rows[torch.randperm(len(rows), generator=generator)]]
    return found


def _relabelled(bank: Bank, logits: Tensor, margins: Tensor) -> Tensor:
    """The original's outputs with classes turned round at random, another way for each example."""
    turn = torch.randint(1, logits.shape[-1], (logits.shape[1], 1), generator=_generator())
    classes = (torch.arange(logits.shape[-1]) + turn) % logits.shape[-1]
    return logits.gather(-1, classes.expand_as(logits))


def _constant_margins(bank: Bank, logits: Tensor, margins: Tensor) -> Tensor:
    targets = bank.targets["forget"]
    mean = logit_margin(bank.own["forget"], targets).mean()
    return with_margins(logits, mean.expand_as(margins), targets)


def _constant(bank: Bank, logits: Tensor, margins: Tensor) -> Tensor:
    """All models give the mean retrained probabilities of every example."""
    return bank.own["forget"].double().softmax(-1).mean(0).log().float().expand_as(logits).clone()


def _half(first: str, second: str) -> Callable[[Bank], Made]:
    """Every second model of one kind, the others of another."""

    def made(bank: Bank) -> Made:
        one, other = getattr(bank, first), getattr(bank, second)
        mixed = {name: x.clone() for name, x in other.items()}
        for name in mixed:
            mixed[name][::2] = one[name][: len(bank)][::2]
        return Made(mixed, bank.own_control)

    return made


def _copies(bank: Bank) -> Made:
    return Made({n: x[: 2 * len(bank) : 2] for n, x in bank.retrained.items()}, bank.own_control)


def _temperature(bank: Bank) -> Made:
    """All logits divided so that the mean forget margin is that of retrained models."""
    targets = bank.targets["forget"]
    wanted = logit_margin(bank.own["forget"], targets).mean()
    low, high = 0.1, 10.0
    for _ in range(40):  # the mean margin falls with the temperature
        middle = (low * high) ** 0.5
        mean = logit_margin(bank.originals["forget"] / middle, targets).mean()
        low, high = (middle, high) if mean > wanted else (low, middle)
    return Made(
        *({n: x / low for n, x in kind.items()} for kind in (bank.originals, bank.own_control))
    )


def _halved_spread(bank: Bank) -> Made:
    """The cheater's retrained models, each half way to their mean on the forget set."""
    logits = bank.own["forget"]
    return Made({**bank.own, "forget": (logits + logits.mean(0)) / 2}, bank.own_control)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


CHEATS: Mapping[str, Callable[[Bank], Made]] = {
    "margins shifted, noise added": _of_forget(_shifted),
    "retrained margins painted": _painted(lambda margins, bank: margins),
    "margins swapped among examples": _painted(_swapped),
    "margins swapped within classes": _painted(_swapped_in_class),
    "half do nothing": _half("originals", "own"),
    "copied bank": _copies,
    "half copied": _half("retrained", "own"),
    "temperature": _temperature,
    "constant margins": _of_forget(_constant_margins),
    "constant outputs": _of_forget(_constant),
    "random labels": _of_forget(_relabelled),
    "halved spread": _halved_spread,
}

# Answers whose mean and variance are right on every example, and which still vary with the model's
# own test answers: no number and no flag tells them from forgetting at 32 models.
NOT_EXPOSED = ("margins shifted, noise added",)


def compared(
    bank: Bank,
    cheats: Sequence[str] = tuple(CHEATS),
    resampling: Resampling = DEFAULT,
    evaluations: Sequence[str] = EVALUATIONS,
) -> Results:
    """One table of the cheats, and of models that were truly retrained."""
    made = {name: CHEATS[name](bank) for name in cheats}
    made[HONEST] = Made(bank.own, bank.own_control)
    return compare_logits(
        {name: cheat.unlearned for name, cheat in made.items()},
        retrained=bank.retrained,
        original=bank.originals,
        control={name: cheat.control for name, cheat in made.items()},
        targets=bank.targets,
        eval=list(evaluations),
        resampling=resampling,
    )


def exposed_by(results: Results, label: str) -> dict[str, list[str]]:
    """What tells a row from forgetting: totals, memory, shift (labels of numbers), and flags.

    A total counts that is told apart from the noise floor on the bad side; on the good side the
    flags say it.
    """
    row, floor = results.rows[label], results.rows[NOISE_FLOOR]
    found: dict[str, list[str]] = {"total": [], "memory": [], "shift": [], "flags": list(row.flags)}
    for key, quantity in results.report.quantities.items():
        number = row.numbers.get(key)
        if number is None or not quantity.headline or number.as_retrained is not False:
            continue
        kind = {MEMORY: "memory", SHIFT: "shift"}.get(f"{key.split(':')[0]}:", "total")
        worse = badness(number.value, quantity) > badness(floor.numbers[key].value, quantity)
        if kind != "total" or worse:
            found[kind].append(quantity.label)
    return found


def table(documents: Sequence[Mapping[str, Any]]) -> str:
    """What exposes each cheat, a table for every number of models."""
    parts = []
    for document in documents:
        lines = [
            f"**{document['models']} models** of each kind, {2 * document['models']} retrained:",
            "",
            "| cheat | total | memory | shift | flags |",
            "|---|---|---|---|---|",
        ]
        for label, found in document["exposed"].items():
            cells = [", ".join(found[kind]) or "-" for kind in ("total", "memory", "shift")]
            lines.append(f"| {label} | {' | '.join(cells)} | {'; '.join(found['flags']) or '-'} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--evaluations", nargs="+", default=list(EVALUATIONS))
    parser.add_argument("--replicates", type=int, default=DEFAULT.models)
    parser.add_argument("--table", type=Path, help="print this file and train nothing")
    parser.add_argument("--bank", type=Path, help="outputs of a store of digits models")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.table is None:
        from environment import environment

        bank = stored(arguments.bank, max(arguments.models))
        documents = []
        for models in arguments.models:
            resampling = replace(DEFAULT, models=arguments.replicates)
            names = tuple(CHEATS)
            results = compared(bank.take(models), names, resampling, arguments.evaluations)
            found = {label: exposed_by(results, label) for label in [*CHEATS, HONEST]}
            values = {
                label: {
                    key: row.numbers[key].value
                    for key, quantity in results.report.quantities.items()
                    if quantity.headline and key in row.numbers
                }
                for label, row in results.rows.items()
            }
            documents.append({"models": models, "exposed": found, "values": values})
            print(table(documents[-1:]), flush=True)
            if arguments.json is not None:
                content = {
                    "environment": environment(),
                    "evaluations": arguments.evaluations,
                    "replicates": arguments.replicates,
                    "tables": documents,
                }
                arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    else:
        documents = json.loads(arguments.table.read_text())["tables"]
        print(table(documents))
    if arguments.markdown is not None:
        arguments.markdown.write_text(table(documents))


if __name__ == "__main__":
    main()
