"""What the benchmarks train: the default problem, and ResNet-18 on images of CIFAR's shape."""

import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from environment import environment
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from unlearn.data.tables import Table, normalisation
from unlearn.data.task import Task
from unlearn.forget_sets.random import RandomForget
from unlearn.models.resnet import ResNet18
from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import problem_of
from unlearn.programs.job import Job
from unlearn.recipes.recipe import Recipe

CONF = Path(__file__).resolve().parents[1] / "conf"


def quiet() -> None:
    """Only results on the terminal."""
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def job(*overrides: str) -> Job:
    """A composed job of the unlearning program, by default that of the digits."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("unlearn", list(overrides), return_hydra_config=True)
    return Job.composed(config, config.hydra)


def digits() -> UnlearningProblem:
    """The default problem."""
    return problem_of(job())


def cifar_shaped(examples: int, epochs: int = 1, batch_size: int = 128) -> UnlearningProblem:
    """ResNet-18 on uint8 noise of 3 x 32 x 32: nothing to learn, the same work as CIFAR-10.

    The retain set has exactly `examples` images.
    """
    generator = torch.Generator().manual_seed(0)
    count = examples + batch_size
    images = torch.randint(256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (count,), generator=generator)
    table = Table(images, labels, normalisation([0.491, 0.482, 0.447], [0.247, 0.243, 0.262]))
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return UnlearningProblem(
        tables={"train": table, "test": Table(images[:64], labels[:64], table.transform)},
        task=Task("classification", 10),
        forget=RandomForget(count=batch_size, fraction=None),
        build_network=partial(ResNet18, in_channels=3, image_size=32, num_outputs=10),
        recipe=Recipe(epochs=epochs, batch_size=batch_size, optimizer=sgd),
        description={},
        content_id="noise",
        name="noise_resnet18",
        synthetic=True,
    )


def bare_training(
    problem: UnlearningProblem, net: nn.Module, device: torch.device, precision: str = "32-true"
) -> int:
    """A hand-written loop that trains by the problem's recipe on the retain set; returns steps."""
    recipe, split = problem.recipe, problem.splits["retain"]
    assert recipe is not None
    part = split.parts[0]
    images, labels, rows = (
        part.table.on(device),
        split.targets.to(device),
        split.index.to(device),
    )
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (part.table.transform.mean, part.table.transform.std)
    )
    per_epoch = -(-len(split) // recipe.batch_size)
    optimizer = recipe.optimizer(net.parameters())
    schedule = recipe.scheduler and recipe.scheduler(
        optimizer, per_epoch * recipe.epochs, per_epoch
    )
    generator = torch.Generator().manual_seed(0)
    net.train()
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(split), generator=generator).split(recipe.batch_size):
            where = chosen.to(device)
            x = (images[rows[where]].float() / 255 - mean) / std
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = F.cross_entropy(net(x), labels[where])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule:
                schedule.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return per_epoch * recipe.epochs


def alternating(
    calls: dict[str, Callable[[], Any]], repeats: int, warm_up: bool = True
) -> dict[str, dict[str, Any]]:
    """Wall seconds of calls that take turns, so that a slow spell of the machine hits all alike.

    Returns:
        By name: `median`, `fastest` and all `seconds`.
    """
    for call in calls.values() if warm_up else ():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begin)
    return {
        name: {"median": statistics.median(s), "fastest": min(s), "seconds": s}
        for name, s in seconds.items()
    }


def paired_ratio(timings: dict[str, dict[str, Any]], name: str, base: str) -> float:
    """Median over turns of `name`'s seconds divided by `base`'s in the same turn."""
    pairs = zip(timings[name]["seconds"], timings[base]["seconds"], strict=True)
    return statistics.median(one / other for one, other in pairs)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Best of ten square matrix products, floating-point operations a second."""
    size = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    result: Tensor = a @ b
    best = 0.0
    for _ in range(10):
        begin = time.perf_counter()
        torch.mm(a, b, out=result)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows that share their keys."""
    columns = list(rows[0])
    texts = [[_text(row[c]) for c in columns] for row in rows]
    widths = [max(len(c), *(len(t[i]) for t in texts)) for i, c in enumerate(columns)]
    for line in [columns, *texts]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(path: Path | None, results: dict[str, Any]) -> None:
    """Results with the machine they were measured on, as JSON."""
    if path is not None:
        text = json.dumps({"environment": environment(), **results}, indent=1)
        path.write_text(text + "\n")
        print(f"written to {path}")
