"""LaTeX tables fit a page and compile."""

import math
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from support.reports import number, row, small_report

from unlearn.comparison.result import NOISE_FLOOR, Number
from unlearn.evals.base import Quantity
from unlearn.report.latex import GAP, MODELS, NAME, ROOM, column_width, escaped, latex_text

PAGE = r"""\documentclass{article}
\usepackage[a4paper,margin=2.5cm]{geometry}
\usepackage{booktabs,siunitx}
\begin{document}
%s
\end{document}
"""
QUANTITIES = {
    "accuracy/test": Quantity("test", "higher", unit="%", headline=True),
    "divergence/forget_kl": Quantity("forget KL", "lower", 0.0, "nats", headline=True),
    "cost/seconds": Quantity("time", "lower", unit="s", headline=True),
    "average_gap/gap": Quantity("average gap", "lower", 0.0, "%", headline=True),
    "forgetting_quality/score": Quantity("forgetting quality", "higher", headline=True),
    "epsilon_hat/median": Quantity("ε̂", "lower", headline=True),
    "certified_epsilon/worst_tenth": Quantity("ε of the worst tenth at least", "lower", 0.0,
                                              headline=True),
}  # fmt: skip


def wide_report():
    """Long names, flags, marks, infinities and seven columns of numbers with intervals."""
    flags = ("better than the noise floor: forgetting quality, forget KL", "100% of it_self")
    rows = [
        row(NOISE_FLOOR, "noise floor", 0.98, 0.9),
        row("original", "do-nothing", 1.0, 3.0),
        row("contrastive_finetune (lr=0.01, original 0)", "method", 0.97, 12.5, flags=flags),
        row("ssd {a_1}", "method", -0.951, 1.4),
        row("selective_pruning_complex", "method", 0.96, 1.1),
    ]
    filled = []
    for position, old in enumerate(rows):
        values = {
            key: replace(
                number((1 if quantity.unit == "%" else 10**position) * 0.12345, 0.1),
                as_retrained=True,
                as_nothing=position % 2 == 0,
            )
            for position, (key, quantity) in enumerate(QUANTITIES.items())
        }
        numbers = {**values, **old.numbers}
        if position == 1:
            numbers["epsilon_hat/median"] = Number(math.inf, n=8)
            numbers["forgetting_quality/score"] = Number(math.nan, n=2)
        filled.append(replace(old, numbers=numbers))
    return replace(
        small_report(filled), quantities=QUANTITIES, populations=frozenset(list(QUANTITIES)[4:])
    )


def keys_of(table: str) -> list[str]:
    """Keys of the numbers in a table, from its heading."""
    heads = re.findall(
        r"\\multicolumn\{2\}\{c\}\{(.*)\}", table.split(r"\toprule")[1].split(r"\\")[0]
    )
    names = " ".join(heads)
    return [key for key, q in QUANTITIES.items() if escaped(q.label) in names]


def test_no_table_is_wider_than_a_page_by_its_columns():
    report = wide_report()
    tables = latex_text(report).split(r"\begin{table}")[1:]
    found = [keys_of(table) for table in tables]
    assert sorted(key for keys in found for key in keys) == sorted(QUANTITIES)
    for keys in found:
        widths = [column_width(report, report.rows, key) for key in keys]
        assert all(width > GAP for width in widths)
        assert NAME + MODELS + sum(widths) <= ROOM


def test_numbers_of_a_column_have_equally_many_decimals():
    for table in latex_text(wide_report()).split(r"\begin{table}")[1:]:
        body = table.split(r"\midrule", 1)[1].split(r"\bottomrule")[0].replace(r"\midrule", "")
        formats = re.findall(r"table-format=-?\d+\.(\d)", table)
        for line in filter(str.strip, body.split(r"\\")):
            cells = [cell.strip().removeprefix(r"\bfseries ") for cell in line.split(" & ")[2::2]]
            assert len(cells) == len(formats)
            for cell, decimals in zip(cells, formats, strict=True):
                assert cell.startswith("{") or len(cell.split(".")[1]) == int(decimals)


def test_words_are_escaped_once():
    assert escaped("a_b 5% {x} \\ ε̂ ≈R <y> #1 & $") == (
        r"a\_b 5\% \{x\} \textbackslash{} $\hat\varepsilon$ $\approx$R $<$y$>$ \#1 \& \$"
    )


def test_flags_stand_under_the_table():
    table = latex_text(wide_report())
    assert r"original 0)$^\dagger$" in table
    assert (
        r"$^\dagger$ contrastive\_\allowbreak finetune (lr=0.01, original 0): better than" in table
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed here")
def test_tables_compile_and_overflow_nothing(tmp_path):
    (tmp_path / "page.tex").write_text(PAGE % latex_text(wide_report()), encoding="utf-8")
    made = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert made.returncode == 0, made.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 5000
    for problem in ("Overfull", "undefined", "Missing character"):
        assert problem not in made.stdout
