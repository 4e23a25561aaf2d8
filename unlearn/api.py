"""Unlearning from a notebook, on a model and data of one's own."""

import copy
from collections.abc import Callable
from typing import Any, Protocol

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.folders import shipped
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

METHODS = shipped("conf") / "method"


class MapDataset(Protocol):
    """Any map-style dataset of (image, label)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def unlearn_model(
    net: nn.Module,
    method: str,
    *,
    forget: MapDataset,
    retain: MapDataset | None = None,
    seed: int = 0,
    **hyperparameters: Any,
) -> nn.Module:
    """Unlearn a forget set with any method of this project.

    Args:
        net: the trained model: images `(B, C, H, W)` to logits `(B, C)`, or to `(B, 1)` when labels
            are real numbers. It is left untouched.
        method: name of a file in conf/method, such as `ssd`; its values are the defaults.
        forget: map-style dataset of (image, label) to forget; images are tensors of one shape.
        retain: map-style dataset of (image, label) to keep; may be left out where the method does
            not read it.
        seed: fixes orders, noise and fresh weights.
        hyperparameters: override values of the method's YAML.

    Returns:
        The unlearned model, a new module on the device of `net`, in evaluation mode.

    Raises:
        UserError: unknown method or hyper-parameter, a value out of range, a missing retain set.
    """
    path = METHODS / f"{method}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in METHODS.glob("*.yaml")))
        raise UserError(f"unknown method {method!r}; there are {known}")
    loaded = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(loaded, dict)
    settings = {str(key): value for key, value in loaded.items() if key != "defaults"}
    module: UnlearningMethod = build({**settings, **hyperparameters}, "method")
    problem = problem_from(net, forget, retain)
    where = next(net.parameters()).device
    work = copy.deepcopy(net)
    accelerator = "gpu" if where.type == "cuda" else "cpu"
    fit(
        module,
        work,
        problem.view(module.requires),
        seed=seed,
        settings=TrainerSettings(accelerator=accelerator),  # type: ignore[arg-type]
    )
    return module.net


def problem_from(
    net: nn.Module, forget: MapDataset, retain: MapDataset | None
) -> UnlearningProblem:
    """The problem that two datasets and a network state."""
    sides = [_stack(retain), _stack(forget)] if retain is not None else [_stack(forget)]
    x = torch.cat([images for images, _ in sides])
    y = torch.cat([labels for _, labels in sides])
    with torch.no_grad():
        probe = copy.deepcopy(net).eval()(x[:1].to(next(net.parameters()).device))
    kind = "regression" if y.is_floating_point() else "classification"
    task = Task(
        kind=kind,  # type: ignore[arg-type]
        num_outputs=probe.shape[-1],
        criterion_name="mse" if kind == "regression" else "cross_entropy",
    )
    count = len(sides[-1][1])
    return UnlearningProblem(
        tables={"train": Table(x, y), "test": Table(x[:0], y[:0])},
        task=task,
        forget=_Last(count, y, task),
        build_network=_rebuild(net),
        recipe=None,
        description={},
        content_id="",
        name="given",
        allow_no_retain=retain is None,
    )


class _Last(ForgetRule):
    """The last rows; of kind `class` when they are whole classes, else `random`."""

    def __init__(self, count: int, targets: Tensor, task: Task):
        self.count = count
        classes = set(targets[-count:].tolist()) if task.is_classification else set()
        whole = bool(classes) and not classes & set(targets[:-count].tolist())
        self._classes = tuple(sorted(classes)) if whole and len(targets) > count else ()
        self.kind = "class" if self._classes else "random"  # type: ignore[misc]

    def select(self, train: Table, task: Task) -> Tensor:
        return torch.arange(len(train) - self.count, len(train))

    def forget_classes(self) -> tuple[int, ...]:
        return self._classes


def _stack(dataset: MapDataset) -> tuple[Tensor, Tensor]:
    if len(dataset) == 0:
        raise UserError("the forget set and the retain set need at least one example each")
    items = [dataset[i] for i in range(len(dataset))]
    images = torch.stack([torch.as_tensor(item[0]) for item in items])
    labels = torch.stack([torch.as_tensor(item[1]) for item in items])
    return images, labels if labels.is_floating_point() else labels.long()


def _rebuild(net: nn.Module) -> Callable[[], nn.Module]:
    """A fresh network of the same architecture, by resetting every layer that has weights."""

    def fresh() -> nn.Module:
        copied = copy.deepcopy(net)
        for name, module in copied.named_modules():
            own = [key for key, _ in module.named_parameters(recurse=False)]
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif own:
                raise UserError(
                    f"this method needs a freshly initialised network, and the layer {name!r} "
                    f"({type(module).__name__}) has no reset_parameters()"
                )
        return copied

    return fresh
