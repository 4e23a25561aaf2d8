"""Decoding once: image files into a memory-mapped uint8 array that later starts read.

Layout of a cache folder: `pixels/<content>.npy` holds `(N, C, S, S)` images, `.ids` beside it one
16-byte hash an image, `.sums` a checksum of every `CHUNK` images; `files/<listing>.json` says which
content a listing of files decoded to. Everything is written aside and renamed, and checked
whenever it is opened.
"""

import hashlib
import json
import logging
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearn.data.image_reading import Transparency, read_image
from unlearn.data.listing import ImageFile
from unlearn.errors import UserError
from unlearn.files import folders
from unlearn.files.locks import lock

log = logging.getLogger(__name__)

VERSION = 2  # raise when decoding changes
CHUNK = 64  # images a task of the thread pool


@dataclass(frozen=True)
class Pixels:
    """Decoded images.

    Attributes:
        images: `(N, C, S, S)` uint8, memory-mapped.
        ids: `(N,)` hashes of the single images; equal hash = equal pixels.
        content: hash of all of them in order.
        treated: how many images needed what besides decoding, such as being turned.
    """

    images: Tensor
    ids: np.ndarray
    content: str
    treated: Mapping[str, int] = field(default_factory=dict)


def decode(
    root: Path,
    files: Sequence[ImageFile],
    cache: Path,
    *,
    side: int | None,
    channels: int = 3,
    transparency: Transparency = "white",
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
        transparency: lay transparent images on white, or refuse them.
        label: what the progress bar calls them.

    Raises:
        UserError: an image cannot be decoded or does not have the common size (it is named), or
            the cache cannot be read or written.
    """
    listing = hashlib.sha256(f"{VERSION} {side} {channels} {transparency}\n".encode())
    listing.update(os.fsencode(root.resolve()))
    for file in files:
        stamps = f"\0{file.size} {file.modified_ns} {file.changed_ns} {file.inode}\n"
        listing.update(os.fsencode(file.name) + stamps.encode())
    note = cache / "files" / f"{listing.hexdigest()[:32]}.json"
    found = _cached(note, cache, len(files))
    if found is not None:
        return found
    try:
        for folder in (cache, note.parent, cache / "pixels"):
            folder.mkdir(parents=True, exist_ok=True)
        with lock(cache, note.stem, f"{label} that are decoded"):
            found = _cached(note, cache, len(files))
            if found is None:
                known = _decode_all(root, files, note, side, channels, transparency, label)
                _write(note, json.dumps(known).encode())
                found = _cached(note, cache, len(files))
    except OSError as error:
        raise UserError(
            f"cannot write decoded images to {cache} ({error.strerror or error}): free some space "
            "there or choose another folder with paths.data"
        ) from error
    if found is None:
        raise UserError(f"{cache}: what was written there is not what is read: check the disk")
    return found


def _cached(note: Path, cache: Path, count: int) -> Pixels | None:
    """What an earlier start decoded; None where there is nothing, or not what was written."""
    try:
        known = json.loads(note.read_bytes())
        array = cache / "pixels" / f"{known['content']}.npy"
        # Copy on write: torch wants writable memory, the file never changes.
        images = np.lib.format.open_memmap(array, mode="c")
        ids = np.fromfile(array.with_suffix(".ids"), dtype="V16")
        sums = np.fromfile(array.with_suffix(".sums"), dtype=np.uint32)
        if (
            images.dtype == np.uint8
            and len(images) == count
            and _content(images.shape, ids) == known["content"]
            and np.array_equal(_checksums(images), sums)
        ):
            return Pixels(torch.from_numpy(images), ids, known["content"], known["treated"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, BufferError):
        pass
    except OSError as error:
        raise UserError(
            f"decoded images cannot be read from {cache} ({error.strerror or error}): mend that "
            "or choose another folder with paths.data"
        ) from error
    log.warning("%s: images decoded earlier are damaged; they are decoded again", cache)
    return None


def _content(shape: tuple[int, ...], ids: np.ndarray) -> str:
    return hashlib.sha256(repr(tuple(shape)).encode() + ids.tobytes()).hexdigest()[:32]


def _checksums(images: np.ndarray) -> np.ndarray:
    """A checksum of every `CHUNK` images; checking costs no more than reading the file."""
    with _pool() as pool:
        parts = (images[start : start + CHUNK].data for start in _starts(images))
        sums = pool.map(zlib.crc32, parts)
        return np.fromiter(sums, dtype=np.uint32)


def _decode_all(
    root: Path,
    files: Sequence[ImageFile],
    note: Path,
    side: int | None,
    channels: int,
    transparency: Transparency,
    label: str,
) -> dict[str, Any]:
    """Decode and publish the pixels; returns what the note says of them."""
    first, _ = read_image(root / files[0].name, side, channels, transparency)
    size = first.shape[-1]
    pixels = note.parent.parent / "pixels"
    folders.clean(pixels)
    aside = folders.aside_of(pixels / f"{note.stem}.npy", "writing")
    ids = np.empty(len(files), dtype="V16")
    sums = np.empty(len(_starts(files)), dtype=np.uint32)
    with aside.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": "|u1", "fortran_order": False, "shape": (len(files), channels, size, size)},
        )
        file.flush()
        begin = file.tell()

        def work(start: int) -> tuple[int, Counter[str]]:
            part = files[start : start + CHUNK]
            images = np.empty((len(part), channels, size, size), dtype=np.uint8)
            treated: Counter[str] = Counter()
            for i, one in enumerate(part):
                image, done = read_image(root / one.name, side, channels, transparency)
                if image.shape[-1] != size:
                    raise UserError(
                        f"{root / one.name} is {image.shape[-1]} pixels wide, the images before "
                        f"it {size}: give dataset.side=... to resize them all"
                    )
                images[i] = image
                ids[start + i] = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
                treated.update(done)
            sums[start // CHUNK] = zlib.crc32(images.data)
            # Written, not mapped: a full disk is then an error here, not a dead process.
            _write_at(file.fileno(), images.data.cast("B"), begin + start * first.nbytes)
            return len(part), treated

        try:
            treated = sum(_in_threads(work, files, f"Decoding {label} (once)"), Counter[str]())
            os.fsync(file.fileno())
            content = _content((len(files), channels, size, size), ids)
            _write(pixels / f"{content}.ids", ids.tobytes())
            _write(pixels / f"{content}.sums", sums.tobytes())
            aside.replace(pixels / f"{content}.npy")
        finally:
            aside.unlink(missing_ok=True)
    return {"content": content, "count": len(files), "treated": dict(treated)}


def _starts(items: Any) -> range:
    return range(0, len(items), CHUNK)


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1))


def _in_threads(
    work: Callable[[int], tuple[int, Counter[str]]], files: Sequence[ImageFile], text: str
) -> Iterator[Counter[str]]:
    """Do the work of every chunk; Pillow decodes outside Python's lock."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown as bar, _pool() as pool:
        task = bar.add_task(text, total=len(files))
        futures = [pool.submit(work, start) for start in _starts(files)]
        try:
            for future in futures:
                count, treated = future.result()
                bar.advance(task, count)
                yield treated
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _write(path: Path, content: bytes) -> None:
    aside = folders.aside_of(path, "writing")
    try:
        folders.write_file(aside, content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
