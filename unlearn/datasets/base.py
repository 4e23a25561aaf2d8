"""What a dataset family hands to the project: tables of images, and the task."""

import hashlib
from abc import ABC, abstractmethod

from unlearn.data.tables import Table
from unlearn.data.task import Task


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
