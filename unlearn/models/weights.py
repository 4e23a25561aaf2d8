"""Weights of networks trained elsewhere: safetensors files, known by their content."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from unlearn.errors import UserError


class WeightFile:
    """One safetensors file with the weights of a network.

    Args:
        path: of the file.
        setting: the key that named it, for messages.
    """

    def __init__(self, path: Path, setting: str):
        self.path, self.setting = path, setting

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UserError(f"{self.setting}: cannot read {self.path}: {error.strerror}") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: what the weights are, wherever they lie.

        Raises:
            UserError: the file cannot be read.
        """
        return hashlib.sha256(self._read()).hexdigest()

    def load_into(self, net: nn.Module) -> dict[str, Tensor]:
        """Copy the weights into a network and return them.

        Raises:
            UserError: no safetensors file, weights that do not fit, that are not finite, or others
                than when the file was first read.
        """
        data = self._read()
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise UserError(f"{self.setting}: {self.path} was changed meanwhile: start again")
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise UserError(
                f"{self.setting}: {self.path} is no safetensors file ({error}); write one with "
                "safetensors.torch.save_file(net.state_dict(), path)"
            ) from error
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise UserError(
                    f"{self.setting}: {self.path}: the tensor {name!r} holds values that are not "
                    "finite"
                )
        try:
            net.load_state_dict(tensors)
        except RuntimeError as error:
            raise UserError(
                f"{self.setting}: {self.path} does not fit the model: "
                f"{str(error).splitlines()[1].strip()}"
            ) from error
        return tensors


def weight_files(pattern: str | Sequence[str], setting: str) -> list[WeightFile]:
    """Files by a pattern such as `folder/*.safetensors`, or by a list of paths, in sorted order.

    Raises:
        UserError: nothing matches.
    """
    if isinstance(pattern, str):
        path = Path(pattern).expanduser()
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    else:
        found = [Path(name).expanduser() for name in pattern]
    if not found:
        raise UserError(f"{setting}: no file matches {pattern!r}; give safetensors files")
    return [WeightFile(path, setting) for path in found]


def file_of(files: Sequence[WeightFile], role: str, seed: int) -> WeightFile:
    """The file with the model of a seed: one original for all seeds, or one file a seed.

    Raises:
        UserError: fewer files than seeds.
    """
    if role == "original" and len(files) == 1:
        return files[0]
    if seed >= len(files):
        raise UserError(
            f"{files[0].setting}: {len(files)} files were given, and {role} model {seed} "
            "(counted from 0) is asked for"
        )
    return files[seed]
