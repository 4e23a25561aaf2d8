"""Rows listed in a file."""

import pytest
from support.tables import TEN, assert_refused_in_one_line, balanced, table

from unlearn.errors import UserError
from unlearn.forget_sets.indices import IndicesForget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row numbers"),
        ("3\n50\n", "line 2: row 50 is out of range, the training set has rows 0..49"),
        ("-1\n", "out of range"),
        ("3\n4\n3\n", "row 3 is listed more than once"),
        ("3\nx\n", "line 2: 'x' is not a row number"),
    ],
)
def test_index_files(tmp_path, text, message):
    path = tmp_path / "rows.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        IndicesForget(str(path)).select(table(balanced(10, 5)), TEN)
    path.write_text("7\n\n3\n")
    assert IndicesForget(str(path)).select(table(balanced(10, 5)), TEN).tolist() == [7, 3]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: IndicesForget(None), "forget.file is missing"),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
