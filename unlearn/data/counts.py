"""What was read of the files that were found, said in one line."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from unlearn.data.decode import Pixels
from unlearn.data.listing import LeftOut

log = logging.getLogger(__name__)


def say_what_was_read(
    root: Path, pixels: Mapping[str, Pixels], left_out: Sequence[LeftOut] = ()
) -> None:
    """Log how many images were read, how many of them were treated how, and what was left out.

    Args:
        root: folder of the data.
        pixels: decoded images by role.
        left_out: files under `root` that are not read.
    """
    counts = {role: len(part.images) for role, part in pixels.items()}
    roles = ", ".join(f"{role} {count:,}" for role, count in counts.items())
    parts = [f"{sum(counts.values()):,} images read ({roles})"]
    treated: Counter[str] = Counter()
    for part in pixels.values():
        treated.update(part.treated)
    parts += [f"{count:,} {how}" for how, count in sorted(treated.items())]
    if left_out:
        files = "file" if len(left_out) == 1 else "files"
        parts.append(f"{len(left_out):,} {files} left out: {kinds_of(left_out)}")
    log.info("%s: %s", root, ", ".join(parts))


def kinds_of(left_out: Sequence[LeftOut]) -> str:
    """Such as `2 .heic (cat/1.heic, ...), 1 hidden (.DS_Store)`, the most frequent kind first."""
    told = []
    for why, count in Counter(file.why for file in left_out).most_common():
        first = next(file.name for file in left_out if file.why == why)
        told.append(f"{count:,} {why} ({first}{', ...' if count > 1 else ''})")
    return ", ".join(told)
