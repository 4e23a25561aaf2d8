"""The report's folder, written aside and renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from unlearn.comparison.result import ComparisonReport
from unlearn.errors import UserError
from unlearn.files import folders
from unlearn.problem import UnlearningProblem
from unlearn.report.latex import latex_text
from unlearn.report.page import page_text
from unlearn.report.pictures import draw
from unlearn.report.published import published_csv
from unlearn.report.tables import csv_text, markdown_text

PROVENANCE = "provenance.json"
WRITER = "unlearn report 1"  # only what a document with this signature names is ever removed


def write_report(
    report: ComparisonReport, problem: UnlearningProblem, folder: Path, pictures: bool = True
) -> ComparisonReport:
    """Write tables, pictures, page and per-example numbers in place of an older report.

    Args:
        report: the comparison.
        problem: where the images of the forget set are.
        folder: of the report; a folder that holds something else is refused.
        pictures: draw them.

    Returns:
        The report with its folder and pictures.

    Raises:
        UserError: the folder is not a report, or cannot be written.
    """
    folders.heal(folder, _ours)
    folders.clean(folder.parent)
    if not _is_ours(folder):
        raise UserError(f"{folder} holds something else than a report: choose paths.report=FOLDER")
    aside = folders.aside_of(folder, "writing")
    try:
        aside.mkdir(parents=True)
        drawn = draw(report, problem, aside) if pictures else {}
        texts = {
            "results.csv": csv_text(report),
            "results.md": markdown_text(report),
            "results.tex": latex_text(report),
            "index.html": page_text(report, drawn),
        }
        if report.published is not None:
            texts["published.csv"] = published_csv(report.published)
        for name, content in texts.items():
            (aside / name).write_text(content, encoding="utf-8")
        np.savez_compressed(aside / "examples.npz", **examples_of(report))  # type: ignore[arg-type]
        made = {PROVENANCE, *(file.name for file in aside.iterdir())}
        document = {**report.provenance, "writer": WRITER, "files": sorted(made)}
        (aside / PROVENANCE).write_text(json.dumps(document, indent=1), encoding="utf-8")
        folders.flush_tree(aside)
        folders.replace(aside, folder, _ours)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another "
            "folder with paths.report"
        ) from error
    finally:
        folders.drop(aside)
    placed = {name: folder / path.name for name, path in drawn.items()}
    return replace(report, folder=folder, pictures=placed)


def _is_ours(folder: Path) -> bool:
    """Whether a report may be written there: the folder is missing, empty, or holds one of ours."""
    try:
        return not folder.exists() or not any(folder.iterdir()) or bool(_ours(folder))
    except OSError:
        return False


def _ours(folder: Path) -> set[str]:
    """Names of the files of the report that a folder holds; none where it holds no report."""
    try:
        document = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return {str(name) for name in document["files"] if document["writer"] == WRITER}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def examples_of(report: ComparisonReport) -> Mapping[str, np.ndarray]:
    """Numbers of every forget example: `index`, `label`, and `<row>/<number>` of each row."""
    arrays = {
        "index": report.forget_index.numpy(),
        "label": report.forget_targets.numpy(),
        "synthetic": np.array(report.synthetic),
    }
    for row in report.rows:
        for name, values in row.examples.items():
            arrays[f"{row.label}/{name}"] = values.numpy()
    return arrays
