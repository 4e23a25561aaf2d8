"""The one noun methods and evaluations see: what is to be forgotten, of what, and by whom."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from unlearn.data.loaders import Augment, Loader
from unlearn.data.splits import Batch, Split
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, remaining
from unlearn.recipes.recipe import Recipe

# Splits that exist only as unions of others, and what reading them reads.
UNIONS = {"mixed": ("retain", "forget"), "paired": ("retain", "forget")}


def canonical_digest(description: Any) -> str:
    """SHA-256 of a JSON-able description, independent of key order; 10 and 10.0 are one number."""
    text = json.dumps(_canonical(description), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class UnlearningProblem:
    """Dataset, forget set, model and recipe.

    Args:
        tables: tables by role, at least `train` and `test`.
        task: what is predicted.
        forget: rule that chooses the forget set.
        build_network: from nothing to a freshly initialised network (torch's global generator).
        recipe: how reference models are trained; None where none may be trained.
        description: canonical configuration of dataset, model and recipe; with the content of the
            data and the forget indices it makes the digest.
        content_id: hash of the content of all tables.
        name: readable prefix of folders and tables.
        short_name: the same without the forget set, for what does not depend on it.
        synthetic: True for generated data.
        allow_no_retain: accept a problem without a retain set; then there is no such split.

    Attributes:
        splits: `retain`, `forget`, `test`; where they exist `forget_test`, `retain_test`, `val`,
            `unseen`.
        share: `(rank, size)` where several processes train one model: methods get their part of
            every batch, evaluations all of it.
        digest: what makes two runs comparable; free of paths, devices and logging.

    Raises:
        UserError: the forget set is empty or leaves nothing to retain.
    """

    def __init__(
        self,
        *,
        tables: dict[str, Table],
        task: Task,
        forget: ForgetRule,
        build_network: Callable[[], nn.Module],
        recipe: Recipe | None,
        description: dict[str, Any],
        content_id: str,
        name: str,
        short_name: str = "",
        synthetic: bool = False,
        allow_no_retain: bool = False,
    ):
        train, test = tables["train"], tables["test"]
        rows = forget.select(train, task).sort().values
        if not 0 < len(rows) < len(train) + allow_no_retain:
            raise UserError(
                f"forget: the rule selects {len(rows)} of {len(train)} training examples; a "
                "forget set and a retain set of at least one example each are needed"
            )
        kept = remaining(train, rows)
        self.tables, self.task, self.recipe = tables, task, recipe
        self.forget_rule, self.forget_kind = forget, forget.kind
        self.forget_classes = forget.forget_classes()
        self.forget_rows = rows
        self.splits = {
            "retain": Split.of(train, kept),
            "forget": Split.of(train, rows, forget=True),
            "test": Split.of(test, torch.arange(len(test))),
        }
        if not len(kept):
            del self.splits["retain"]
        shown = forget.select_test(test, task)
        if shown is not None and 0 < len(shown) < len(test):
            rest = torch.ones(len(test), dtype=torch.bool)
            rest[shown] = False
            self.splits["forget_test"] = Split.of(test, shown.sort().values)
            self.splits["retain_test"] = Split.of(test, rest.nonzero().squeeze(1))
        for role in ("val", "unseen"):
            if role in tables:
                self.splits[role] = Split.of(tables[role], torch.arange(len(tables[role])))
        self._build_network = build_network
        self.name, self.short_name = name, short_name or name
        self.synthetic, self.content_id = synthetic, content_id
        indices = hashlib.sha256(rows.numpy().tobytes()).hexdigest()
        self.description = {
            **description,
            "recipe_version": recipe.version if recipe else 0,
            "content": content_id,
            "forget_indices": indices,
        }
        self.digest = canonical_digest(self.description)
        self.loader_options: dict[str, Any] = {}
        self.share = (0, 1)

    def control(self, seed: int) -> "UnlearningProblem":
        """What a control run unlearns: another forget set of the same rule and size, drawn with
        `seed` from the retain set; the examples of this problem's forget set are in no split.

        Only for methods: runs are evaluated and identified by this problem.

        Raises:
            UserError: the rule knows no such set.
        """
        train = self.tables["train"]
        rows = self.forget_rule.control(train, self.forget_rows, self.task, seed).sort().values
        other = copy.copy(self)
        kept = remaining(train, torch.cat([self.forget_rows, rows]))
        other.forget_rows = rows
        other.splits = {
            **self.splits,
            "retain": Split.of(train, kept),
            "forget": Split.of(train, rows, forget=True),
        }
        return other

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape `(C, H, W)` of network input."""
        table = self.tables["train"]
        return tuple(table.transform(table.images[:1]).shape[1:])

    def fresh_network(self, seed: int) -> nn.Module:
        """A newly initialised network; does not disturb torch's global generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._build_network()

    def loader(self, split: Split, batch_size: int, *, device: torch.device, **how: Any) -> Loader:
        """Batches of a split, see `Loader`."""
        return Loader(split, batch_size, device, **{**self.loader_options, **how})

    def view(self, requires: tuple[str, ...], augment: bool = False) -> "ProblemView":
        """What a method that declares `requires` may see.

        Args:
            requires: names of splits.
            augment: whether images that it trains on are augmented as the recipe has it.
        """
        view = ProblemView(self, requires)
        if augment and self.recipe is not None:
            view.augment = self.recipe.augment
        return view


class ProblemView:
    """A problem of which only declared splits can be read; remembers what was.

    Attributes:
        reads: names of the splits that were read.
        examples_read: examples delivered by loaders of this view.
        watch: what loaders that are made now are watched by, see `Loader`.
        augment: augmentation of images in training phases that have none of their own, or None.
    """

    def __init__(self, problem: UnlearningProblem, requires: tuple[str, ...]):
        self._problem, self.requires = problem, requires
        self.reads: set[str] = set()
        self.examples_read = 0
        self.watch: Callable[[Iterator[Batch]], Iterator[Batch]] | None = None
        self.augment: Augment | None = None
        self.task, self.recipe = problem.task, problem.recipe
        self.forget_kind, self.forget_classes = problem.forget_kind, problem.forget_classes
        self.image_shape, self.share = problem.image_shape, problem.share

    def has(self, name: str) -> bool:
        """Whether the problem has a split of this name."""
        return name in self._problem.splits

    def split(self, name: str) -> Split:
        """A split by name; `mixed` is retain then forget.

        Raises:
            UserError: the split is not declared in `requires`, or the problem has none of it.
        """
        for part in UNIONS.get(name, (name,)):
            if part not in self.requires:
                raise UserError(
                    f"the method reads the {part!r} split but declares only "
                    f"{', '.join(self.requires) or 'none'}: add it to `requires`"
                )
            if part not in self._problem.splits:
                raise UserError(
                    f"this problem has no {part!r} split, only {', '.join(self._problem.splits)}"
                )
            self.reads.add(part)
        if name in UNIONS:
            return self._problem.splits["retain"] + self._problem.splits["forget"]
        return self._problem.splits[name]

    @property
    def retain(self) -> Split:
        return self.split("retain")

    @property
    def forget(self) -> Split:
        return self.split("forget")

    def fresh_network(self, seed: int) -> nn.Module:
        """A newly initialised network of the problem's architecture."""
        return self._problem.fresh_network(seed)

    def loader(self, split: Split, batch_size: int, *, device: torch.device, **how: Any) -> Loader:
        """Batches of a split, counted; see `Loader`."""
        watched = {"count": self._count, "watch": self.watch}
        return self._problem.loader(split, batch_size, device=device, **watched, **how)

    def _count(self, examples: int) -> None:
        self.examples_read += examples
