"""Tables that are too wide, in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice


def fitting(widths: Mapping[str, float], room: float) -> list[list[str]]:
    """Divide columns among as few tables as hold them, with as many in each where that fits too.

    Args:
        widths: of columns, by name, in order.
        room: for the columns of one table. A column that is wider stands alone.

    Returns:
        Names of the columns of each table.
    """
    pieces: list[list[str]] = []
    for name, width in widths.items():
        if not pieces or sum(widths[n] for n in pieces[-1]) + width > room:
            pieces.append([])
        pieces[-1].append(name)
    if not pieces:
        return []
    count, more = divmod(len(widths), len(pieces))
    rest = iter(widths)
    even = [list(islice(rest, count + (i < more))) for i in range(len(pieces))]
    return even if all(sum(widths[n] for n in piece) <= room for piece in even) else pieces
