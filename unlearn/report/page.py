"""The comparison as one self-contained HTML page."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.report.numbers import (
    MARKS,
    Section,
    clear_winner,
    detectable,
    heading,
    interval_text,
    marks_text,
    marks_used,
    models_text,
    protocols,
    sections,
    text,
)
from unlearn.report.published import HEADS, legend, lines, notes, title
from unlearn.report.tables import PAIRS

CAPTIONS = {
    "forgetting_and_utility": "Each method with its intervals; grey is the same interval of "
    "retrained models, one half of them scored against the other.",
    "memory_and_shift": "Memory, what is left of the forget set in the models' answers, against "
    "shift, what the method does to any model. Doing nothing has all memory and no shift; ideal "
    "is both at the noise floor.",
    "epsilons": "How many forget examples have an epsilon up to the value below; a curve further "
    "left is harder to tell from retrained models. Black is the noise floor.",
    "error_trade_off": "Errors of an attacker who tells unlearned from retrained models; the "
    "dotted line is guessing.",
    "worst_forgotten": "The forget images whose models are easiest to tell from retrained ones.",
}
ROW_CLASS = {"noise floor": "floor", "do-nothing": "nothing", "method": ""}


def page_text(report: ComparisonReport, pictures: Mapping[str, Path]) -> str:
    """The page, pictures inlined; it needs no network and no other file."""
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    tables = [_section(report, part) for part in sections(report)]
    sizes = ", ".join(f"{name} {size}" for name, size in report.sizes.items())
    warning = '<p class="synthetic">These data are synthetic.</p>' if report.synthetic else ""
    return template.substitute(
        title=escape(report.title),
        sizes=escape(sizes),
        digest=report.digest[:10],
        written=escape(str(report.provenance["written"])),
        synthetic=warning,
        tables="".join(tables) + (soft(MARKS) if marks_used(report) else "") + _published(report),
        notes="".join(f"<li>{escape(note)}</li>" for note in report.notes),
        pictures="".join(_figure(name, path) for name, path in pictures.items()),
        all=_all_numbers(report),
        pairs=_pairs(report),
        provenance=_provenance(report.provenance),
    )


def _section(report: ComparisonReport, part: Section) -> str:
    keys, title = part.keys, escape(part.title)
    heads = ["method", *(heading(report.quantities[key]) for key in keys)]
    winners = {key: clear_winner(report, key) for key in keys}
    options = "".join(
        f'<option value="{i} {down}">{escape(head)}, {"falling" if down else "rising"}</option>'
        for i, head in enumerate(heads)
        for down in (0, 1)
    )
    body = "".join(
        f'<tr class="{ROW_CLASS[row.kind]}">{_label(row, part)}'
        + "".join(_cell(report, row, key, winners[key] == row.label) for key in keys)
        + "</tr>"
        for row in report.rows
    )
    titles = "".join(
        f'<th scope="col"><button type="button">{escape(head)}</button></th>' for head in heads
    )
    words = " ".join(filter(None, [detectable(report, keys), protocols(report, keys)]))
    return (
        f'<section><h2>{title}</h2><label class="narrow">sort by <select>{options}</select></label>'
        f'<div class="scroll"><table class="sortable"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>" + (soft(words) if words else "") + "</section>"
    )


def soft(words: str) -> str:
    """A paragraph in small type."""
    return f'<p class="soft">{escape(words)}</p>'


def _label(row: Row, part: Section) -> str:
    flags = "".join(f'<span class="flag">{escape(flag)}</span>' for flag in row.flags)
    return (
        f'<td data-value="{escape(row.label)}">{escape(row.label)}'
        f"<small>{models_text(row, part)}</small>{flags}</td>"
    )


def _cell(report: ComparisonReport, row: Row, key: str, best: bool) -> str:
    quantity = report.quantities[key]
    number = row.numbers.get(key, Number(math.nan))
    value = "" if math.isnan(number.value) else str(number.value).replace("inf", "Infinity")
    interval = interval_text(number, quantity)
    words = f"<span{' class=best' if best else ''}>{text(number.value, quantity)}</span>"
    small = filter(None, [interval, marks_text(number)])
    inner = words + "".join(f"<small>{part}</small>" for part in small)
    return (
        f'<td data-name="{escape(heading(quantity))}" data-value="{value}" '
        f'title="{escape(number.note)}"><span>{inner}</span></td>'
    )


def _figure(name: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    caption = CAPTIONS[name]
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(heads: Iterable[str], body: Iterable[Iterable[str]], style: str = "") -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    rows = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in line) + "</tr>" for line in body)
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _all_numbers(report: ComparisonReport) -> str:
    def cell(row: Row, key: str) -> str:
        quantity = report.quantities[key]
        number = row.numbers.get(key)
        if number is None or math.isnan(number.value):
            return "-"
        parts = [text(number.value, quantity)]
        if not math.isnan(number.std):
            parts.append(f"± {text(number.std, quantity)}")
        small = [interval_text(number, quantity)]
        if number.gap and row.kind != "noise floor":
            small.append(f"gap {text(number.gap.estimate, quantity)}")
        return " ".join(parts) + "".join(f"<small>{s}</small>" for s in small if s)

    body = (
        [
            escape(heading(report.quantities[key])) + f"<small>{key}</small>",
            *(cell(row, key) for row in report.rows),
        ]
        for key in report.quantities
    )
    return _table(["", *(row.label for row in report.rows)], body)


def _pairs(report: ComparisonReport) -> str:
    if not report.pairs:
        return "<p>Fewer than two rows have enough models.</p>"
    body = []
    for pair in report.pairs:
        quantity, d = report.quantities[pair.metric], pair.difference
        ends = f"[{text(d.low, quantity)}, {text(d.high, quantity)}]"
        body.append(
            [
                escape(heading(quantity, arrow=False)),
                escape(f"{pair.first} − {pair.second}"),
                f"{text(d.estimate, quantity)}<small>{ends}</small>",
                f"{pair.n}",
                f"{pair.p_value:.2g}",
                f"{pair.p_holm:.2g}",
            ]
        )
    heads = ["number", "difference of", "value", "n", "p", "p (Holm)"]
    return f'<p class="soft">{PAIRS}</p>' + _table(heads, body, "pairs")


def _published(report: ComparisonReport) -> str:
    table = report.published
    if table is None:
        return ""
    found = [[escape(cell) for cell in line] for line in lines(table, report.quantities)]
    body = _table(HEADS, found, "published") + soft(legend(table)) if found else ""
    below = "".join(f"<li>{escape(note)}</li>" for note in notes(table))
    return f"<section><h2>{escape(title(table))}</h2>{body}<ul>{below}</ul></section>"


def _provenance(provenance: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in provenance["versions"].items())
    items = [
        f"<code>{escape(provenance['command'])}</code>",
        escape(f"{provenance['machine']}; {versions}"),
    ]
    for models in provenance["models"]:
        values = ", ".join(f"{k}={v}" for k, v in models["values"].items())
        starts = f", original models {models['original_seeds']}" if models["original_seeds"] else ""
        once = ", ".join(map(str, models["trained_at_once"]))
        items.append(
            f"<b>{escape(models['row'])}</b>: {models['models']} models, seeds {models['seeds']}"
            f"{starts}; {escape(', '.join(models['devices']))}, {once} at once"
            + (f"; {escape(values)}" if values else "")
            + f"<br><code>{escape(models['command'])}</code>"
        )
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
