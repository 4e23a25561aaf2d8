"""Does JiT bring forget-set entropy to where a retrained model has it, on real CIFAR-10 images?

The small experiment of the JiT study (arXiv 2402.01401): a CNN of two convolutions, 10 % random
forget set, 30 epochs at an almost constant rate; then JiT with sigma 0.8, rate 2e-5, 100 draws,
batches of 64. Passes when the mean prediction entropy on the forget set lies within a factor 1.5
of the retrained model's and test accuracy falls by less than 5 points.

    python benchmarks/jit_acceptance.py --data FOLDER [--per-class 300] [--json FILE]

FOLDER holds train/<class>/*.jpg and test/<class>/*.jpg. On fewer images JiT takes fewer steps, and
since its loss is a sum over images, the network moves less in proportion. The table therefore has a
second row, whose rate is multiplied by 5000 / forget images: the same rate times images as in the
study. On all images the two rows are one.
"""

import argparse
import copy
import json
import logging
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from environment import environment
from rich.console import Console
from rich.table import Table as Shown
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unlearn.data.tables import Table
from unlearn.datasets.image_folder import ImageFolder
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.jit import JiT
from unlearn.problem import UnlearningProblem
from unlearn.recipes.recipe import Recipe
from unlearn.training.fit import fit
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.trainer import TrainerSettings

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
STUDY_FORGET, STUDY_RATE = 5000, 2e-5


def network() -> nn.Module:
    """The study's CNN for 32 x 32 images."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4096, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def first_of_each_class(table: Table, count: int) -> Table:
    """The first `count` images of every class."""
    rows = [(table.targets == c).nonzero()[:count, 0] for c in table.targets.unique()]
    chosen = torch.cat(rows)
    return Table(table.images[chosen], table.targets[chosen], table.transform)


def load(data: Path, per_class: int | None, seed: int, recipe: Recipe) -> UnlearningProblem:
    """The problem of the study on the images in `data`."""
    dataset = ImageFolder(str(data), str(data / "decoded"), MEAN, STD)
    tables = dataset.load()
    if per_class is not None:
        tables["train"] = first_of_each_class(tables["train"], per_class)
    return UnlearningProblem(
        tables=tables,
        task=dataset.task,
        forget=RandomForget(fraction=0.1, seed=seed),
        build_network=network,
        recipe=recipe,
        description={},
        content_id="",
        name="cifar10",
    )


def close(ratio: float) -> bool:
    """Whether an entropy lies within the factor 1.5 of the retrained model's."""
    return 1 / 1.5 <= ratio <= 1.5


@torch.no_grad()
def measure(net: nn.Module, problem: UnlearningProblem, device: torch.device) -> dict[str, float]:
    """Mean entropy in nats on the forget set, and accuracies in percent."""
    found = {}
    for name in ("retain", "forget", "test"):
        entropy = right = 0.0
        for batch in problem.loader(problem.splits[name], 1000, device=device):
            probabilities = net(batch.x).softmax(1)
            entropy += float(torch.special.entr(probabilities).sum())
            right += float((probabilities.argmax(1) == batch.y).sum())
        count = len(problem.splits[name])
        found[f"{name}_entropy"], found[f"{name}_accuracy"] = entropy / count, 100 * right / count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="image folder of CIFAR-10")
    parser.add_argument("--per-class", type=int, help="training images of each class; default all")
    parser.add_argument("--epochs", type=int, default=30, help="of the two reference models")
    parser.add_argument("--lr", type=float, default=0.004, help="of the two reference models")
    parser.add_argument("--jit-lr", type=float, nargs="*", default=[], help="further rates to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    sgd = partial(torch.optim.SGD, lr=args.lr, momentum=0.9, weight_decay=5e-4)
    recipe = Recipe(epochs=args.epochs, batch_size=128, optimizer=sgd)
    problem = load(args.data, args.per_class, args.seed, recipe)
    settings, forget = TrainerSettings(), len(problem.splits["forget"])
    run = partial(fit, seed=args.seed, settings=settings)
    device = settings.device

    nets = {}
    for role, data in (("original", "mixed"), ("retrained", "retain")):
        method = ReferenceTraining(data)
        run(method, problem.fresh_network(args.seed), problem.view(method.requires))
        nets[role] = method.net
    rows = {role: measure(net, problem, device) for role, net in nets.items()}
    target, before = rows["retrained"]["forget_entropy"], rows["original"]["test_accuracy"]
    rates = {STUDY_RATE, STUDY_RATE * STUDY_FORGET / forget, *args.jit_lr}
    for rate in sorted(rates):
        jit = JiT(sigma=0.8, lr=rate, draws=100, batch_size=64)
        cost = run(jit, copy.deepcopy(nets["original"]), problem.view(jit.requires))
        found = measure(jit.net, problem, device)
        rows[f"JiT, rate {rate:.2g}"] = found | {"rate": rate, "seconds": cost.seconds}

    title = f"{forget} of {len(problem.tables['train'])} CIFAR-10 images forgotten"
    shown = Shown(title=title)
    for column in ("", "entropy on forget set", "/ retrained", "test acc.", "lost", "passes"):
        shown.add_column(column, justify="left" if not column else "right")
    for name, row in rows.items():
        row["ratio"], row["lost"] = row["forget_entropy"] / target, before - row["test_accuracy"]
        row["passed"] = close(row["ratio"]) and row["lost"] < 5
        shown.add_row(
            name,
            f"{row['forget_entropy']:.4f}",
            f"{row['ratio']:.2f}",
            f"{row['test_accuracy']:.2f} %",
            f"{row['lost']:.2f}",
            "yes" if row["passed"] else "no",
        )
    Console().print(shown)
    informative = not close(rows["original"]["ratio"])
    if not informative:
        print(
            "The original model passes too: it is not overfitted enough for this to mean anything."
        )
    if args.json:
        arguments = {k: v for k, v in vars(args).items() if not isinstance(v, Path)}
        record = {"environment": environment(), "arguments": arguments, "forget_images": forget}
        record |= {"rows": rows, "informative": informative}
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
