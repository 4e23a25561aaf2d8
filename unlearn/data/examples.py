"""One dataset as people have it: tuples or mappings of arrays or images, in a loader or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from unlearn.errors import UserError

IMAGE_KEYS = ("image", "x", "pixel_values", "img", "images")
LABEL_KEYS = ("label", "y", "target", "labels", "targets")


class Examples:
    """One dataset: images as tensors, labels as numbers, mistakes as messages.

    Args:
        data: a map-style dataset of tensors, arrays or PIL images with labels, as tuples or dicts;
            a pair of arrays `(images, labels)`; or a DataLoader, whose dataset is read.
        name: of the argument, for messages.
        dtype: floating type that floating images are turned into.

    Raises:
        UserError: it is none of these, or empty.
    """

    def __init__(self, data: Any, name: str, dtype: torch.dtype):
        self.name, self.dtype = name, dtype
        self.dataset = _map_style(data, name)
        if len(self.dataset) == 0:
            raise UserError(f"{name}: the dataset is empty; at least one example is needed")
        self.held: tuple[Tensor, Tensor] | None = None
        if type(self.dataset) is TensorDataset and len(self.dataset.tensors) >= 2:
            images, labels = self.dataset.tensors[:2]
            self.held = (self._typed(images).cpu(), labels.cpu())
        self.shape: torch.Size | None = None if self.held is None else self.held[0].shape[1:]

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, row: int) -> tuple[Tensor, Tensor]:
        """Image and label of one example.

        Raises:
            UserError: it cannot be read, or is unlike the first one.
        """
        if self.held is not None:
            return self.held[0][row], self.held[1][row]
        try:
            item = self.dataset[row]
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"{self.name}: example {row} cannot be read ({type(error).__name__}: {error})"
            ) from error
        image, label = self._pair(item)
        image = self._typed(_image(image, self.name))
        if self.shape is None:
            self.shape = image.shape
        if image.shape != self.shape:
            raise UserError(
                f"{self.name}: example {row} has shape {tuple(image.shape)} and those before it "
                f"{tuple(self.shape)}: resize images to one shape"
            )
        return image, _number(label, self.name, row)

    def images(self, rows: Sequence[int]) -> Tensor:
        """Images `(B, ...)` at these positions, read now."""
        if self.held is not None:
            return self.held[0][list(rows)]
        return torch.stack([self.read(row)[0] for row in rows])

    def _typed(self, image: Tensor) -> Tensor:
        if image.dtype == torch.uint8 and self.dtype != torch.float32:
            return image.to(self.dtype) / 255  # tables turn bytes into float32
        return image.to(self.dtype) if image.is_floating_point() else image

    def _pair(self, item: Any) -> tuple[Any, Any]:
        if isinstance(item, Mapping):
            image = next((key for key in IMAGE_KEYS if key in item), None)
            label = next((key for key in LABEL_KEYS if key in item), None)
            if len(item) == 2:
                first, second = item
                if image is None:
                    image = first if label in (None, second) else second
                label = label or (second if image == first else first)
            if image is None or label is None:
                raise UserError(
                    f"{self.name}: examples are mappings with the keys {', '.join(map(str, item))};"
                    f" name the image {' or '.join(IMAGE_KEYS[:4])} and the label "
                    f"{' or '.join(LABEL_KEYS[:3])}"
                )
            return item[image], item[label]
        if isinstance(item, tuple | list) and len(item) >= 2:
            return item[0], item[1]
        raise UserError(
            f"{self.name}: examples must be (image, label), or mappings with both; got "
            f"{type(item).__name__}"
        )


def _map_style(data: Any, name: str) -> Any:
    if isinstance(data, DataLoader):
        return _behind(data, name)
    arrays = (Tensor, np.ndarray)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(x, arrays) for x in data):
        images, labels = (torch.as_tensor(x) for x in data)
        if len(images) != len(labels):
            raise UserError(
                f"{name}: {len(images)} images and {len(labels)} labels; give one label an image"
            )
        return TensorDataset(images, labels)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise UserError(
            f"{name} must be a map-style dataset (with len() and [i]), a pair of arrays "
            f"(images, labels) or a DataLoader; got {type(data).__name__}"
        )
    return data


def _behind(loader: DataLoader, name: str) -> Any:
    """The dataset of a loader, cut to what its sampler can choose."""
    sampler = loader.sampler
    if isinstance(loader.batch_sampler, BatchSampler):
        sampler = loader.batch_sampler.sampler
    custom = loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler
    if custom or not isinstance(sampler, SequentialSampler | RandomSampler | SubsetRandomSampler):
        which = type(loader.batch_sampler if custom else sampler).__name__
        raise UserError(
            f"{name}: the DataLoader's sampler {which} chooses examples by rules of its own; give "
            "a dataset of the examples that are meant (torch.utils.data.Subset)"
        )
    if isinstance(sampler, SubsetRandomSampler):
        return Subset(loader.dataset, [int(i) for i in sampler.indices])
    return _map_style(loader.dataset, name)


def _image(value: Any, name: str) -> Tensor:
    """A tensor `(C, H, W)`; tensors and floating arrays stay as they are."""
    if isinstance(value, Image.Image):
        if value.mode.startswith(("I", "F")):
            raise UserError(
                f"{name}: PIL images of mode {value.mode} have no fixed range; turn them into "
                "floating tensors first"
            )
        value = np.array(value if value.mode in ("L", "RGB") else value.convert("RGB"))
        value = value[..., None] if value.ndim == 2 else value
        return torch.from_numpy(value).permute(2, 0, 1)
    if isinstance(value, np.ndarray):
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        pictures = value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] in (1, 3)
        return tensor.permute(2, 0, 1) if pictures else tensor
    if isinstance(value, Tensor):
        return value.detach().cpu()
    raise UserError(
        f"{name}: images must be tensors, arrays or PIL images, got {type(value).__name__}; add a "
        "transform such as torchvision.transforms.ToTensor()"
    )


def _number(value: Any, name: str, row: int) -> Tensor:
    try:
        label = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"{name}: the label of example {row} is {value!r} ({type(value).__name__}); give class "
            "ids (whole numbers) or real numbers"
        ) from None
    if label.numel() != 1:
        raise UserError(
            f"{name}: the label of example {row} has shape {tuple(label.shape)}; give one number "
            "an example (class ids instead of one-hot vectors)"
        )
    return label.reshape(())
