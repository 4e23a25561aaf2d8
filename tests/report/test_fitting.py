"""Columns in as few tables as hold them."""

import pytest

from unlearn.report.fitting import fitting


@pytest.mark.parametrize(
    ("widths", "room", "expected"),
    [
        ([3, 3, 3], 9, [3]),
        ([3, 3, 3, 3], 9, [2, 2]),
        ([1] * 7, 3, [3, 2, 2]),
        ([1, 1, 1, 9], 9, [3, 1]),  # even pieces would be too wide
        ([20, 1], 9, [1, 1]),
        ([], 9, []),
    ],
)
def test_pieces_of_known_size(widths, room, expected):
    columns = {f"c{i}": width for i, width in enumerate(widths)}
    found = fitting(columns, room)
    assert [len(piece) for piece in found] == expected
    assert [name for piece in found for name in piece] == list(columns)
