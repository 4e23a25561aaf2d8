"""Words for models that the store lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

from unlearn.errors import program
from unlearn.storage.store import Address, Store

ROLES = {"original": "original", "retrained": "retrain"}  # as train.py calls them


def words_for_absent(
    absent: Mapping[Any, Sequence[int]], first: Address, store: Store, command: str
) -> str:
    """Which models there are none of, and the command that makes all of them.

    Args:
        absent: seeds by role.
        first: where the first of them would lie.
        store: that lacks them.
        command: words of the command line that state the problem.
    """
    near = store.nearest_difference(first)
    what = " and no ".join(
        f"{role} model with seed {', '.join(map(str, seeds))}" for role, seeds in absent.items()
    )
    commands = " && ".join(
        f"{program('train')} role={ROLES[role]} seeds=[{','.join(map(str, seeds))}] "
        f"{command}".strip()
        for role, seeds in absent.items()
    )
    return (
        f"no {what} in {store.root}{f' ({near})' if near else ''}, "
        f"and references.missing=fail: run first  {commands}"
    )
