"""A method as a program chose it, and what tells its runs apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra.utils import get_object

from unlearn.methods.base import UnlearningMethod
from unlearn.storage.making import source_digest


@dataclass(frozen=True)
class MethodChoice:
    """A method with its values.

    Attributes:
        name: of its config.
        values: of its config, and what else its numbers hang on.
        make: a new one.
        augment: whether what it trains on is augmented.
    """

    name: str
    values: Mapping[str, Any]
    make: Callable[[], UnlearningMethod]
    augment: bool

    @cached_property
    def source(self) -> str:
        """Digest of its code."""
        return source_digest(type(self.make()))


def method_values(method: Mapping[str, Any], augment: bool) -> dict[str, Any]:
    """The values that tell runs of a method apart; a first version and plain images go unsaid.

    Args:
        method: the config group, checked.
        augment: whether what the method trains on is augmented.
    """
    version = getattr(get_object(method["_target_"]), "version", 1)
    return {
        **method,
        **({"version": version} if version > 1 else {}),
        **({"augment": True} if augment else {}),
    }
