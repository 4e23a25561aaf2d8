"""Image tables that come as a CSV file and a folder."""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from unlearn.data.listing import LeftOut, Listing, list_images
from unlearn.errors import UserError


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file in order.

    Raises:
        UserError: it is empty, not text, or lacks one of `columns`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    missing = [name for name in columns if name not in header]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}, only {', '.join(header) or 'nothing'}")
    if not rows:
        raise UserError(f"{path}: a header and no rows")
    for number, row in enumerate(rows, start=2):
        if any(row[name] is None or not row[name].strip() for name in columns):
            raise UserError(f"{path}, line {number}: a value is missing")
    return rows


def match_files(names: Sequence[str], folder: Path, table: Path) -> Listing:
    """The image file of every row in row order; files without a row are left out.

    Args:
        names: paths relative to `folder`, in row order.
        folder: of the images.
        table: the CSV file, for messages.

    Raises:
        UserError: a row has no file, or two rows have the same.
    """
    # Names with accents reach some file systems decomposed.
    found = list_images(folder)
    files = {unicodedata.normalize("NFC", file.name): file for file in found.files}
    keys = [unicodedata.normalize("NFC", name.strip()) for name in names]
    absent = [name for name in keys if name not in files]
    if absent:
        raise UserError(
            f"{table}: {len(absent)} of {len(keys)} rows have no file in {folder}, first "
            f"{absent[0]!r}: the folder is incomplete, unpack it again"
        )
    if len(set(keys)) < len(keys):
        twice = next(name for i, name in enumerate(keys) if name in keys[:i])
        raise UserError(f"{table}: {twice!r} is listed more than once")
    used = set(keys)
    extra = [
        LeftOut(f.name, f"without a row in {table.name}") for k, f in files.items() if k not in used
    ]
    others = [file for file in found.left_out if folder / file.name != table]
    return Listing(tuple(files[key] for key in keys), (*extra, *others))
