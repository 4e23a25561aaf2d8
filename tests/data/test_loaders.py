"""How examples are cut into batches: nothing may hang on the remainder."""

from functools import partial

import pytest
import torch

from unlearn.data.loaders import Loader, PairedLoader, StackedLoader, batch_sizes
from unlearn.data.splits import Split
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.parts.interleaving import Alternating, Zipped
from unlearn.methods.parts.recipe_phase import recipe_phase
from unlearn.problem import UnlearningProblem
from unlearn.recipes.recipe import Recipe

CPU = torch.device("cpu")
SGD = partial(torch.optim.SGD, lr=0.1)


def split(examples: int) -> Split:
    table = Table(torch.arange(examples).float().view(-1, 1, 1, 1), torch.zeros(examples).long())
    return Split.of(table, torch.arange(examples))


@pytest.mark.parametrize("examples", [0, 1, 3, 4, 5, 7, 8, 9, 896, 897, 900])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_spread_batches_are_of_one_size(examples: int, batch_size: int) -> None:
    sizes = batch_sizes(examples, batch_size, "spread")
    assert sum(sizes) == examples
    assert (
        len(sizes) == len(batch_sizes(examples, batch_size, "keep")) == -(-examples // batch_size)
    )
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_the_three_policies_by_hand() -> None:
    assert batch_sizes(9, 4, "keep") == [4, 4, 1]
    assert batch_sizes(9, 4, "drop") == [4, 4]
    assert batch_sizes(9, 4, "spread") == [3, 3, 3]
    assert batch_sizes(10, 4, "spread") == [4, 3, 3]
    assert batch_sizes(3, 4, "drop") == [3]  # there is no other
    assert all(batch_sizes(8, 4, how) == [4, 4] for how in ("keep", "drop", "spread"))


@pytest.mark.parametrize("last_batch", ["spread", "keep", "drop"])
def test_loaders_deliver_these_sizes(last_batch) -> None:
    generator = torch.Generator().manual_seed(0)
    loader = Loader(split(9), 4, CPU, generator=generator, last_batch=last_batch)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    batches = list(loader)
    assert [len(batch.y) for batch in batches] == loader.sizes == batch_sizes(9, 4, last_batch)
    assert len(loader) == len(batches)
    seen = torch.cat([batch.index for batch in batches])
    assert torch.equal(seen, order[: len(seen)])


@pytest.mark.parametrize("last_batch", ["spread", "keep", "drop"])
def test_stacked_loaders_cut_as_their_members_do(last_batch) -> None:
    given = split(9)

    def members() -> list[Loader]:
        return [
            Loader(
                given, 4, CPU, generator=torch.Generator().manual_seed(seed), last_batch=last_batch
            )
            for seed in range(3)
        ]

    together = list(StackedLoader(members()))
    for number, member in enumerate(members()):
        for stacked, batch in zip(together, member, strict=True):
            assert torch.equal(stacked.index[number], batch.index)


def test_pairs_have_no_short_side() -> None:
    retain, forget = (
        Loader(split(n), 4, CPU, generator=torch.Generator(), last_batch="spread") for n in (17, 5)
    )
    pairs = PairedLoader(retain, forget)
    sizes = [(len(pair.retain.y), len(pair.forget.y)) for pair in pairs]
    assert sizes == pairs.sizes == [(4, 3), (4, 2), (3, 3), (3, 2), (3, 3)]
    assert Zipped(retain, forget).sizes == [(4, 3), (4, 2)]
    alternating = Alternating(retain, forget)
    assert [len(batch.y) for batch in alternating] == alternating.sizes == [
        3, 4, 2, 4, 3, 3, 2, 3, 3, 3,
    ]  # fmt: skip


def test_processes_share_a_spread_batch() -> None:
    parts, read = [], []
    for rank in range(2):
        how = {"last_batch": "spread", "share": (rank, 2), "count": read.append}
        parts.append([len(batch.y) for batch in Loader(split(9), 8, CPU, **how)])
    assert parts == [[3, 2], [2, 2]]
    assert read == [5, 4, 5, 4]  # every process knows what all of them read


def problem() -> UnlearningProblem:
    table = Table(torch.randn(12, 1, 2, 2), torch.arange(12) % 2)
    return UnlearningProblem(
        tables={"train": table, "test": table},
        task=Task("classification", 2),
        forget=RandomForget(count=3),
        build_network=lambda: torch.nn.Linear(1, 2),
        recipe=Recipe(epochs=1, batch_size=4, optimizer=SGD),
        description={},
        content_id="",
        name="twelve",
    )


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        ({}, [3, 3, 3]),
        ({"order": "stored"}, [4, 4, 1]),
        ({"last_batch": "keep"}, [4, 4, 1]),
        ({"last_batch": "drop"}, [4, 4]),
        ({"order": "stored", "last_batch": "spread"}, [3, 3, 3]),
    ],
)
def test_shuffled_phases_spread_and_stored_ones_keep(how, sizes) -> None:
    method, given = UnlearningMethod(), problem()
    method.bind(given.fresh_network(0), given.view(("retain", "forget")), 0)
    method.start(CPU)
    phase = Phase("some", "retain", 1, SGD, batch_size=4, **how)
    assert method.make_loader(phase).sizes == sizes


def test_reference_models_are_trained_as_their_recipe_says() -> None:
    given = problem()
    assert given.recipe is not None
    assert recipe_phase(given.recipe, "retain").last_batch == "spread"
    kept = Recipe(epochs=1, batch_size=4, optimizer=SGD, last_batch="keep")
    assert recipe_phase(kept, "retain").last_batch == "keep"


def test_another_version_of_a_recipe_is_another_problem() -> None:
    digests = set()
    for version in (1, 2):
        given = problem()
        changed = UnlearningProblem(
            tables=given.tables,
            task=given.task,
            forget=given.forget_rule,
            build_network=lambda: torch.nn.Linear(1, 2),
            recipe=Recipe(epochs=1, batch_size=4, optimizer=SGD, version=version),
            description={},
            content_id="",
            name="twelve",
        )
        digests.add(changed.digest)
    assert len(digests) == 2
