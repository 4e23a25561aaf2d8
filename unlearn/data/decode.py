"""Decoding once: image files into a memory-mapped uint8 array that later starts read.

Layout of a cache folder: `pixels/<content>.npy` holds `(N, C, S, S)` images, `pixels/<content>.ids`
one 16-byte hash an image, and `files/<listing>.json` says which content a listing of files
(names, sizes, times) decoded to. Everything is written aside and renamed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from unlearn.data.listing import ImageFile
from unlearn.errors import UserError

VERSION = 1  # raise when decoding changes
CHUNK = 64  # images a task of the thread pool


@dataclass(frozen=True)
class Pixels:
    """Decoded images.

    Attributes:
        images: `(N, C, S, S)` uint8, memory-mapped.
        ids: `(N,)` hashes of the single images; equal hash = equal pixels.
        content: hash of all of them in order.
    """

    images: Tensor
    ids: np.ndarray
    content: str


def decode(
    root: Path,
    files: Sequence[ImageFile],
    cache: Path,
    *,
    side: int | None,
    channels: int = 3,
    label: str = "images",
) -> Pixels:
    """Decode files in the given order, or read what an earlier start decoded.

    Args:
        root: folder the names of `files` are relative to.
        files: at least one.
        cache: folder of decoded arrays.
        side: side in pixels to resize to (bilinear, antialiased); None = all files must already
            be square and of one size.
        channels: 3 (RGB) or 1 (grey); palette, grey and transparent images are converted.
        label: what the progress bar calls them.

    Raises:
        UserError: an image cannot be decoded or does not have the common size (it is named).
    """
    listing = hashlib.sha256(f"{VERSION} {side} {channels}\n".encode())
    for file in files:
        listing.update(f"{file.name}\0{file.size}\0{file.modified_ns}\n".encode())
    note = cache / "files" / f"{listing.hexdigest()[:32]}.json"
    found = _cached(note, cache, len(files))
    if found is None:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{note.stem}.lock"):
            found = _cached(note, cache, len(files))
            if found is None:
                content = _decode_all(root, files, cache, side, channels, label)
                note.parent.mkdir(exist_ok=True)
                _write(note, json.dumps({"content": content, "count": len(files)}).encode())
                found = _cached(note, cache, len(files))
                assert found is not None
    return found


def _cached(note: Path, cache: Path, count: int) -> Pixels | None:
    try:
        content = json.loads(note.read_text())["content"]
        # Copy on write: torch wants writable memory, the file never changes.
        images = np.load(cache / "pixels" / f"{content}.npy", mmap_mode="c")
        ids = np.fromfile(cache / "pixels" / f"{content}.ids", dtype="V16")
    except (OSError, ValueError, KeyError):
        return None
    if len(images) != count or _content(images.shape, ids) != content:
        return None
    return Pixels(torch.from_numpy(images), ids, content)


def _content(shape: tuple[int, ...], ids: np.ndarray) -> str:
    return hashlib.sha256(repr(tuple(shape)).encode() + ids.tobytes()).hexdigest()[:32]


def _decode_all(
    root: Path, files: Sequence[ImageFile], cache: Path, side: int | None, channels: int, label: str
) -> str:
    size = side or _read(root / files[0].name, None, channels).shape[-1]
    pixels = cache / "pixels"
    pixels.mkdir(parents=True, exist_ok=True)
    aside = pixels / f".{os.getpid()}-{id(files)}.npy"
    images = np.lib.format.open_memmap(
        aside, mode="w+", dtype=np.uint8, shape=(len(files), channels, size, size)
    )
    ids = np.empty(len(files), dtype="V16")

    def work(start: int) -> int:
        stop = min(start + CHUNK, len(files))
        for i in range(start, stop):
            image = _read(root / files[i].name, side, channels)
            if image.shape[-1] != size:
                raise UserError(
                    f"{root / files[i].name} is {image.shape[-1]} pixels wide, the images before "
                    f"it {size}: give dataset.side=... to resize them all"
                )
            images[i] = image
            ids[i] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return stop - start

    try:
        _in_threads(work, len(files), f"Decoding {label} (once)")
        images.flush()
        content = _content(images.shape, ids)
        _write(pixels / f"{content}.ids", ids.tobytes())
        aside.replace(pixels / f"{content}.npy")
    except OSError as error:
        raise UserError(f"cannot write decoded images to {cache}: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
    return content


def _in_threads(work: Callable[[int], int], count: int, text: str) -> None:
    """Call `work(start)` for every chunk; Pillow decodes outside Python's lock."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool,
    ):
        task = bar.add_task(text, total=count)
        futures = [pool.submit(work, start) for start in range(0, count, CHUNK)]
        try:
            for future in futures:
                bar.advance(task, future.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _read(path: Path, side: int | None, channels: int) -> np.ndarray:
    """One image as `(C, S, S)` uint8."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGB" if channels == 3 else "L")
    except FileNotFoundError:
        raise UserError(f"{path}: no such image file") from None
    except Exception as error:
        what = "is empty" if path.stat().st_size == 0 else f"cannot be decoded ({error})"
        raise UserError(f"{path} {what}: replace it or take it out of the folder") from None
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    if image.size[0] != image.size[1]:
        raise UserError(
            f"{path} is {image.size[0]}x{image.size[1]} pixels, not square: give dataset.side=... "
            "to resize all images"
        )
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
