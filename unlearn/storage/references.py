"""Original and retrained models of a problem: from the store, or trained and stored."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

from lightning import Callback
from torch import nn

from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.models.weights import WeightFile, file_of
from unlearn.problem import ProblemView, UnlearningProblem
from unlearn.storage.absence import words_for_absent
from unlearn.storage.checkpoints import checkpoints_of
from unlearn.storage.making import versions
from unlearn.storage.predictions import Predictions, collect, pack, unpack
from unlearn.storage.store import Address, Entry, Made, Store
from unlearn.training.bank import fit_bank
from unlearn.training.fit import Costs
from unlearn.training.processes import agree
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.trainer import TrainerSettings

Role = Literal["original", "retrained"]
TRAINS_ON = {"original": "mixed", "retrained": "retain"}

# Added to the seed of a retrained model wherever it draws numbers: else the original and the
# retrained model of one seed would start from the same weights and be closer than two strangers.
RETRAINED_SEEDS = 1_000_003


def drawing_seed(role: Role, seed: int) -> int:
    """The seed that initialisation, order and augmentation of a reference model are drawn from."""
    return seed + (RETRAINED_SEEDS if role == "retrained" else 0)


@dataclass
class References:
    """Reference models of one problem.

    Args:
        problem: the problem.
        store: where models and their outputs are kept.
        settings: device and precision of training.
        missing: `train` a model the store lacks, or `fail` with the command that makes it.
        retain_examples: size of the retain sample whose outputs are kept, None = all.
        command: words of the command line that state this problem, for messages.
        watch: makes the callbacks that show the training of one model, from a title.
        given: files with the weights of models trained elsewhere, by role.
    """

    problem: UnlearningProblem
    store: Store
    settings: TrainerSettings
    missing: Literal["train", "fail"] = "train"
    retain_examples: int | None = 10_000
    command: str = ""
    watch: Callable[[str], list[Callback]] = lambda title: []
    given: Mapping[Role, Sequence[WeightFile]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._addresses: dict[tuple[Role, int], Address] = {}
        self._nets: dict[tuple[str, int], Entry] = {}
        self._outputs: dict[tuple[str, int], dict[str, Predictions]] = {}
        # How banks that were asked for are stacked, for members that have to be made again.
        self._banks: dict[Role, tuple[int | None, int]] = {}

    # ---- addresses ----------------------------------------------------------------------------

    def address(self, role: Role, seed: int) -> Address:
        """Where a reference model lies. Only retrained models depend on the forget set."""
        if (role, seed) not in self._addresses:
            # Originals do not depend on the forget set, so neither does their name.
            name = self.problem.name if role == "retrained" else self.problem.short_name
            description = self._describe(role, seed)
            self._addresses[role, seed] = Address(role, f"{name}-{role}-seed{seed}", description)
        return self._addresses[role, seed]

    def _describe(self, role: Role, seed: int) -> dict[str, Any]:
        problem, recipe = self.problem.description, self.problem.recipe
        if weights := self.weights(role, seed):
            return {"role": role, "weights": weights, "model": problem["model"]}
        description = {
            "role": role,
            "content": problem["content"],
            "model": problem["model"],
            "recipe": problem["recipe"],
            "recipe_version": recipe.version if recipe else 0,
            "precision": self.settings.precision,
            "seed": seed,
        }
        if role == "retrained":
            description["forget_indices"] = problem["forget_indices"]
        return description

    def weights(self, role: Role, seed: int) -> str | None:
        """Hash of the weights of a model that was trained elsewhere; None for one trained here."""
        return file_of(self.given[role], role, seed).digest if role in self.given else None

    def _outputs_address(self, role: Role, seed: int) -> Address:
        model = self.address(role, seed)
        asked = {"problem": self.problem.digest, "retain_examples": self.retain_examples}
        return Address("outputs", model.name, {"model": model.description, **asked})

    # ---- models -------------------------------------------------------------------------------

    def has(self, role: Role, seed: int) -> bool:
        """Whether the store holds the model; its bytes are not read."""
        return (role, seed) in self._nets or self.store.has(self.address(role, seed))

    def model(self, role: Role, seed: int) -> Entry:
        """State dict and training record of a reference model, trained first if missing.

        Raises:
            UserError: it is missing and may not be trained here.
        """
        if (role, seed) not in self._nets:
            address = self.address(role, seed)
            entry = self.store.read(address)
            if agree(entry is None) or entry is None:
                if role in self.given:
                    entry = self.store.get_or_make(address, partial(self._import, role, seed))
                else:  # alone, or with the bits that it had in the bank it was asked for with
                    self.train_bank(role, [seed], *self._banks.get(role, ()))
                    entry = self.store.read(address)
                    assert entry is not None
            self._nets[role, seed] = entry
        return self._nets[role, seed]

    def net(self, role: Role, seed: int) -> nn.Module:
        """A copy of a reference model, free to be changed, in evaluation mode.

        Raises:
            UserError: the stored weights do not fit the network.
        """
        net = self.problem.fresh_network(seed)
        try:
            net.load_state_dict(self.model(role, seed).tensors)
        except RuntimeError as error:
            raise UserError(
                f"the stored {role} model (seed {seed}) does not fit this network: "
                f"{str(error).splitlines()[1].strip()}; change recipe.version to train it anew"
            ) from error
        return net.eval()

    def train_bank(
        self,
        role: Role,
        seeds: Sequence[int],
        at_once: int | None = None,
        members: int | None = None,
        watchers: Callable[[int], list[Callback]] = lambda seed: [],
        stored: Callable[[int], Any] = lambda seed: None,
    ) -> list[int]:
        """Train the members of a bank that the store lacks; each is stored as soon as it is done.

        Args:
            role: what they are trained on.
            seeds: that must be there afterwards.
            at_once, members: see `fit_bank`.
            watchers: more callbacks of a model that is trained on its own, by seed.
            stored: called with the seed of a model that lies in the store, its lock released.

        Returns:
            Seeds that were trained.
        """
        members = members or len(seeds)
        if members > 1:
            self._banks[role] = (at_once, members)
        absent = agree([seed for seed in seeds if not self.has(role, seed)])
        if role in self.given or not absent:
            for seed in absent:
                self.model(role, seed)
            return []
        self.require({role: absent})
        offset = drawing_seed(role, 0)

        def make(drawn: int) -> tuple[UnlearningMethod, nn.Module, ProblemView]:
            view = self.problem.view(("retain", "forget"))
            return ReferenceTraining(TRAINS_ON[role]), self.problem.fresh_network(drawn), view

        def finished(drawn: int, training: UnlearningMethod, costs: Costs) -> None:
            self.store.publish(self.address(role, drawn - offset), _made(training, costs))

        def all_finished(drawn: Sequence[int]) -> None:
            agree(None)  # the others wait until they are there
            for number in drawn:  # who computes their outputs meanwhile may wait for them
                held[number - offset].close()
            for number in drawn:
                stored(number - offset)

        with ExitStack() as locks:
            # Others may want the same models: all lock in one order, and look again when they may.
            held = {seed: locks.enter_context(ExitStack()) for seed in sorted(absent)}
            for seed, its in held.items():
                its.enter_context(self.store.lock(self.address(role, seed)))
            absent = agree([seed for seed in absent if not self.has(role, seed)])
            fit_bank(
                make,
                [seed + offset for seed in absent],
                settings=self.settings,
                members=members,
                at_once=at_once,
                finished=finished,
                all_finished=all_finished,
                callbacks=lambda drawn: [
                    *self.watch(self._announce(role, drawn - offset)),
                    *watchers(drawn - offset),
                ],
                places=lambda stack: checkpoints_of(
                    [s if s is None else self.address(role, s - offset).description for s in stack],
                    self.store,
                    self.settings,
                ),
            )
        return absent

    def _import(self, role: Role, seed: int) -> Made:
        """Weights that the user trained elsewhere, checked against the network."""
        tensors = file_of(self.given[role], role, seed).load_into(self.problem.fresh_network(0))
        return tensors, {"costs": asdict(Costs.unknown())}

    def _announce(self, role: Role, seed: int) -> str:
        on = "all training data" if role == "original" else "the retain set only"
        return f"training the {role} model (seed {seed}) on {on}; the store has none yet"

    def require(self, wanted: Mapping[Role, Sequence[int]]) -> None:
        """Where nothing may be trained here, check that the store has all of these models.

        Raises:
            UserError: some are missing; gives the command that makes all of them.
        """
        if self.missing == "train":
            return
        absent = {
            role: lacking
            for role, seeds in wanted.items()
            if role not in self.given  # files only have to be read
            and (lacking := [seed for seed in seeds if not self.has(role, seed)])
        }
        if absent:
            role, seeds = next(iter(absent.items()))
            first = self.address(role, seeds[0])
            raise UserError(words_for_absent(absent, first, self.store, self.command))

    # ---- outputs ------------------------------------------------------------------------------

    def outputs(self, role: Role, seed: int) -> dict[str, Predictions]:
        """Predictions of a reference model on every split, computed once per problem and stored."""
        if (role, seed) not in self._outputs:
            entry = self.store.get_or_make(
                self._outputs_address(role, seed), lambda: (pack(self._forward(role, seed)), {})
            )
            self._outputs[role, seed] = unpack(entry.tensors)
        return self._outputs[role, seed]

    def _forward(self, role: Role, seed: int) -> dict[str, Predictions]:
        problem = self.problem
        return collect(
            self.net(role, seed), problem, problem.splits, self.settings, self.retain_examples
        )

    def costs(self, role: Role, seed: int) -> Mapping[str, Any]:
        """What a stored model's training cost; its weights are not read."""
        return self._meta(role, seed)["costs"]

    def versions(self, role: Role, seed: int) -> Mapping[str, str]:
        """Versions of packages that a stored model was trained with, empty where not known."""
        return self._meta(role, seed).get("versions", {})

    def _meta(self, role: Role, seed: int) -> Mapping[str, Any]:
        if (role, seed) not in self._nets:
            meta = self.store.meta(self.address(role, seed))
            if meta is not None:
                return meta
        return self.model(role, seed).meta

    def bank(self, role: Role = "retrained") -> list[int]:
        """Seeds of the members of this problem that the store holds, in ascending order."""
        if role in self.given:
            return list(range(len(self.given[role])))
        present = []
        for folder in (self.store.root / role).glob(f"*-{role}-seed*"):
            seed = folder.name.split("-seed")[-1].split("-")[0]
            if seed.isdigit():
                present.append(int(seed))
        return [seed for seed in sorted(set(present)) if self.has(role, seed)]

    def seconds(self, role: Role, seeds: Sequence[int]) -> float:
        """Mean training seconds of reference models."""
        return sum(self.costs(role, seed)["seconds"] for seed in seeds) / len(seeds)


def _made(training: UnlearningMethod, costs: Costs) -> Made:
    state = {key: copy.copy(value) for key, value in training.net.state_dict().items()}
    return state, {"costs": asdict(costs), "versions": versions()}
