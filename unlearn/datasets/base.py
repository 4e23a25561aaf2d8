"""What a dataset family hands to the project: tables of images, and the task."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from unlearn.data.tables import Table, Transform, normalisation
from unlearn.data.task import Task
from unlearn.errors import UserError

LARGEST_SIDE = 16_384  # pixels; more is a slip of the pen


class Dataset(ABC):
    """One dataset family; the constructor's arguments are its YAML.

    Attributes:
        synthetic: True for generated data; every table then says so.
    """

    synthetic: bool = False

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is predicted. May be read only after `load`."""

    @abstractmethod
    def load(self) -> dict[str, Table]:
        """Read the data.

        Returns:
            Tables by role: `train` and `test`, and `val`, `unseen` where they exist.

        Raises:
            UserError: the data is not there (says where it comes from and the layout expected),
                or an image cannot be decoded (names it).
        """

    def content_id(self, tables: dict[str, Table]) -> str:
        """Hash of the content of all roles."""
        sha = hashlib.sha256()
        for role in sorted(tables):
            sha.update(f"{role}:{tables[role].digest()};".encode())
        return sha.hexdigest()


def network_input(
    mean: Sequence[float], std: Sequence[float], size: int | None, channels: int
) -> Transform:
    """The transform that a dataset's YAML states.

    Args:
        mean: one number a channel, in [0, 1] pixel units.
        std: likewise, above 0.
        size: side in pixels that the network gets, None = as stored.
        channels: of the images.

    Raises:
        UserError: a list of another length, a value out of range.
    """
    check_side("size", size)
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise UserError(
                f"dataset.{key} needs one number a channel: these images have {channels}, "
                f"{list(values)} has {len(values)}"
            )
        if not all(math.isfinite(value) for value in values) or (key == "std" and min(std) <= 0):
            above = " above 0" if key == "std" else ""
            raise UserError(f"dataset.{key} must hold numbers{above}, got {list(values)}")
    return normalisation(mean, std, size)


def check_side(key: str, side: int | None) -> None:
    """Refuse a side without pixels.

    Raises:
        UserError: naming the key of the dataset group.
    """
    if side is not None and not 1 <= side <= LARGEST_SIDE:
        raise UserError(f"dataset.{key} must lie in 1..{LARGEST_SIDE} pixels, got {side}")
