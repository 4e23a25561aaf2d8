"""Tables of images: how examples are held, and how stored pixels become network input."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """From stored pixels to network input: scale to [0, 1], normalise, resize.

    Attributes:
        mean: per-channel mean in [0, 1] pixel units; empty = leave the values alone.
        std: per-channel standard deviation in [0, 1] pixel units.
        size: side in pixels that the network wants, None = as stored. Resizing comes after
            normalisation and is bilinear with antialiasing.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Turn `(B, C, H, W)` images, uint8 or float in [0, 1], into network input."""
        if images.dtype == torch.uint8:
            images = images.float().div_(255)
        if self.mean:
            mean = torch.tensor(self.mean, dtype=images.dtype, device=images.device)
            std = torch.tensor(self.std, dtype=images.dtype, device=images.device)
            images = (images - mean[:, None, None]) / std[:, None, None]
        if self.size is not None and images.shape[-1] != self.size:
            images = F.interpolate(
                images, size=(self.size, self.size), mode="bilinear", antialias=True
            )
        return images


@dataclass(frozen=True)
class Table:
    """The examples of one role (train, test, ...), in a fixed order.

    Attributes:
        images: `(N, C, H, W)` uint8 (possibly memory-mapped), or floating network input.
        targets: `(N,)` int64 class ids or float32 regression targets.
        transform: from `images` to network input.
        fine: `(N,)` int64 finer classes (subclasses), where they exist.
        group: `(N,)` int64 household or identity ids, where they exist.
        names: file name of every example, where it came from a file.
        content: hash of `images` where it is known already; else they are read for it.
        augmentable: whether augmentation may change the images; not those made by a method.
    """

    images: Tensor
    targets: Tensor
    transform: Transform = Transform()
    fine: Tensor | None = None
    group: Tensor | None = None
    names: tuple[str, ...] = ()
    content: str | None = None
    augmentable: bool = True
    _resident: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.targets)

    def on(self, device: torch.device) -> Tensor:
        """The images on `device`, copied there once."""
        if self.images.device == device:
            return self.images
        if str(device) not in self._resident:
            self._resident[str(device)] = self.images.to(device)
        return self._resident[str(device)]

    def digest(self) -> str:
        """Hash of pixels, targets, groups and transform: what was learned from, wherever it lay."""
        sha = hashlib.sha256(repr((tuple(self.images.shape), str(self.images.dtype))).encode())
        images = self.images if self.content is None else None
        sha.update((self.content or "").encode())
        for part in (images, self.targets, self.fine, self.group):
            if part is not None:
                sha.update(part.contiguous().numpy().reshape(-1).view("uint8").data)
        sha.update(repr(self.transform).encode())
        return sha.hexdigest()


def normalisation(
    mean: Sequence[float], std: Sequence[float], size: int | None = None
) -> Transform:
    """A `Transform` from YAML lists."""
    return Transform(tuple(float(m) for m in mean), tuple(float(s) for s in std), size)
