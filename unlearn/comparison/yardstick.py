"""What models are measured by: evaluations, beside the original and the retrained models."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.comparison.concurrency import concurrently
from unlearn.comparison.groups import Member
from unlearn.evals.base import Evaluation, Outputs, Quantity, keyed
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.storage.predictions import BySplit
from unlearn.storage.store import Address, Store

Metrics = dict[str, float]


@dataclass(frozen=True)
class Yardstick:
    """Measures single models; every number is of one model beside the reference models.

    Attributes:
        problem: splits and task.
        evaluations: by name, those of single models and those of populations.
        settings: of each evaluation, what its numbers depend on besides models; JSON-able.
        retrained: models that every model is compared with.
        original: the original model of a seed.
        store: where numbers of models are kept; None keeps none.
    """

    problem: UnlearningProblem
    evaluations: Mapping[str, Evaluation]
    settings: Mapping[str, Any]
    retrained: Sequence[Member]
    original: Callable[[int], Member]
    store: Store | None = None

    @cached_property
    def of_runs(self) -> dict[str, Evaluation]:
        """Evaluations of single models."""
        return {name: e for name, e in self.evaluations.items() if not e.min_models}

    @cached_property
    def of_populations(self) -> dict[str, Evaluation]:
        """Evaluations of populations of models."""
        return {name: e for name, e in self.evaluations.items() if e.min_models}

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Meaning of every number by its key."""
        return {
            f"{name}/{quantity}": meaning
            for name, evaluation in self.evaluations.items()
            for quantity, meaning in evaluation.described(self.problem).items()
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """What makes an evaluation's numbers comparable: its settings and the retrained models."""
        models = [member.identity for member in self.retrained]
        return {
            name: canonical_digest(
                [
                    self.settings[name],
                    evaluation.version,
                    models if "retrained" in evaluation.references else [],
                ]
            )[:12]
            for name, evaluation in self.evaluations.items()
        }

    def measure(
        self,
        predictions: BySplit,
        costs: Mapping[str, Any],
        original_seed: int | None,
        net: nn.Module | None,
        *,
        evaluations: Mapping[str, Evaluation] | None = None,
        leave_out: Member | None = None,
    ) -> Metrics:
        """Numbers of one model.

        Args:
            predictions: of the model by split.
            costs: of its run.
            original_seed: of the original model it started from, None for retrained models.
            net: its network; None where the weights were not kept.
            evaluations: of single models, None = all of them.
            leave_out: a retrained model that is not compared with itself.

        Returns:
            Numbers by `<evaluation>/<quantity>`; NaN where one cannot be had for this model.
        """
        chosen = self.of_runs if evaluations is None else evaluations
        others = [member for member in self.retrained if member is not leave_out]
        original = None if original_seed is None else self.original(original_seed)
        needs_weights = any(e.uses_network for e in chosen.values()) and net is not None
        start = original.net if original is not None and needs_weights else None
        outputs = Outputs(
            unlearned=predictions,
            original={} if original is None else original.read(),
            retrained=[member.read() for member in others],
            costs=costs,
            retraining=[member.costs for member in self.retrained],
            original_state={} if start is None else start().state_dict(),
        )
        metrics: Metrics = {}
        for name, evaluation in chosen.items():
            lacks_network = evaluation.uses_network and not outputs.original_state
            lacks_original = "original" in evaluation.references and original is None
            if lacks_network or lacks_original:
                values = dict.fromkeys(evaluation.described(self.problem), math.nan)
            else:
                values = evaluation.compute(outputs, self.problem, net or nn.Identity())
            metrics.update(keyed(name, values))
        return metrics

    def of(self, member: Member) -> Metrics:
        """Numbers of a model: from its record where they are there, else computed and kept."""
        known = {
            key: math.nan if value is None else value
            for key, value in member.metrics.items()
            if self._is_valid(member, key.split("/")[0])
        }
        missing = {n: e for n, e in self.of_runs.items() if not self._is_valid(member, n)}
        return {**known, **(self._kept(member, missing) if missing else {})}

    def of_all(self, members: Sequence[Member]) -> list[Metrics]:
        """`of` each; the first alone, so that what evaluations remember is made once."""
        return [self.of(m) for m in members[:1]] + concurrently(self.of, members[1:])

    def distances(self, member: Member) -> dict[str, Tensor]:
        """Of numbers that are means over the retrained models, the part of each, by key.

        Returns:
            `(retrained,)`, NaN at the model itself where it is one of them.
        """
        chosen = {n: e for n, e in self.of_runs.items() if "retrained" in e.references}
        if not chosen:
            return {}
        description = {
            "problem": self.problem.digest,
            "model": member.identity,
            "evaluations": {name: self.digests[name] for name in chosen},
        }
        address = Address("distances", self.problem.name, description)
        entry = self.store.read(address) if self.store is not None else None
        if entry is not None:
            return dict(entry.tensors)
        own = self._itself(member)
        others = [m for m in self.retrained if m is not own]
        if not others:
            return {}
        outputs = Outputs(member.read(), {}, [m.read() for m in others])
        found = {}
        for name, evaluation in chosen.items():
            for quantity, parts in evaluation.distances(outputs, self.problem).items():
                whole = torch.full((len(self.retrained),), math.nan, dtype=torch.float64)
                whole[[m is not own for m in self.retrained]] = parts.double()
                found[f"{name}/{quantity}"] = whole
        if self.store is not None:
            self.store.keep(address, (found, {}))
        return found

    def _itself(self, member: Member) -> Member | None:
        """The retrained model that a model is, if it is one."""
        return next((m for m in self.retrained if m.identity == member.identity), None)

    def _is_valid(self, member: Member, name: str) -> bool:
        return name in self.digests and member.evaluations.get(name) == self.digests[name]

    def _kept(self, member: Member, evaluations: Mapping[str, Evaluation]) -> Metrics:
        if self.store is None:
            return self._compute(member, evaluations)
        description = {
            "problem": self.problem.digest,
            "model": member.identity,
            "original_seed": member.original_seed,
            "evaluations": {name: self.digests[name] for name in evaluations},
        }
        address = Address("scores", self.problem.name, description)
        entry = self.store.read(address)
        if entry is None:
            metrics = self._compute(member, evaluations)
            listed = {key: None if math.isnan(v) else v for key, v in metrics.items()}
            self.store.keep(address, ({}, {"metrics": listed}))
            return metrics
        return {k: math.nan if v is None else v for k, v in entry.meta["metrics"].items()}

    def _compute(self, member: Member, evaluations: Mapping[str, Evaluation]) -> Metrics:
        uses_network = any(e.uses_network for e in evaluations.values())
        net = member.net() if uses_network and member.net is not None else None
        return self.measure(
            member.read(),
            member.costs,
            member.original_seed,
            net,
            evaluations=evaluations,
            leave_out=self._itself(member),
        )
