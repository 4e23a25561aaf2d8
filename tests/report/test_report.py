"""Tables, pictures and the page of a comparison; the page in a real browser where there is one."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from support.compose import compose_job
from support.reports import number, row, small_report, told_apart

from unlearn.comparison.result import NOISE_FLOOR
from unlearn.errors import UserError
from unlearn.evals.base import Quantity
from unlearn.files import folders
from unlearn.programs.composing import problem_of
from unlearn.report.latex import latex_text
from unlearn.report.numbers import clear_winner, text
from unlearn.report.page import page_text
from unlearn.report.pictures import draw, error_rates, worst
from unlearn.report.tables import csv_text, markdown_text
from unlearn.report.terminal import print_comparison
from unlearn.report.write import write_report


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return problem_of(compose_job(home=tmp_path_factory.mktemp("data")))


def test_csv_has_a_line_for_every_run_and_metric_and_one_summary():
    report = small_report()
    lines = list(csv.DictReader(io.StringIO(csv_text(report))))
    of_runs = [line for line in lines if line["seed"]]
    assert len(of_runs) == 6 * 3  # rows x runs; epsilon-hat belongs to no run
    summaries = [line for line in lines if not line["seed"]]
    assert len(summaries) == 6 * 2
    gisa = next(s for s in summaries if (s["method"], s["metric"]) == ("gisa", "accuracy/test"))
    assert float(gisa["value"]) == 0.96 and float(gisa["low_models"]) == pytest.approx(0.95)
    missing = next(s for s in summaries if s["method"] == "scrub <few>" and s["note"])
    assert missing["value"] == "", "a missing number must not look like a real one"


def test_only_a_clear_winner_is_bold():
    report = small_report()
    assert clear_winner(report, "epsilon_hat/median") == "gisa"
    assert r"\bfseries 1.100" in latex_text(report)
    overlapping = [
        row(NOISE_FLOOR, "noise floor", 0.98, 0.9),
        row("a", "method", 0.97, 1.0, width=0.2),
        row("b", "method", 0.97, 1.1, width=0.2),
    ]
    report = small_report(overlapping, pairs=())
    assert clear_winner(report, "epsilon_hat/median") is None
    assert "bfseries" not in latex_text(report)


def test_flagged_methods_never_win():
    rows = [
        row(NOISE_FLOOR, "noise floor", 0.98, 0.9),
        row("cheat", "method", 0.97, 0.1, flags=("collapsed",)),
        row("b", "method", 0.97, 1.0),
        row("c", "method", 0.97, 2.0),
    ]
    report = small_report(rows, pairs=(told_apart("c", "b"),))
    assert clear_winner(report, "epsilon_hat/median") == "b"


def test_runs_of_one_original_never_win():
    rows = [row(NOISE_FLOOR, "noise floor", 0.98, 0.9), row("a", "method", 0.97, 0.5)]
    rows += [row("b", "method", 0.97, 1.0), row("c", "method", 0.97, 2.0)]
    report = small_report(
        [rows[0], replace(rows[1], starts="one"), *rows[2:]],
        pairs=(
            told_apart("a", "b"),
            told_apart("b", "c"),
        ),
    )
    assert clear_winner(report, "epsilon_hat/median") == "b"


def test_closer_means_closer_to_retrained_models():
    report = small_report()
    quantities = {"accuracy/test": report.quantities["epsilon_hat/median"].__class__("a", "closer")}
    far, near = row("far", "method", 0.5, 1.0), row("near", "method", 0.7, 1.0)
    apart = (told_apart("far", "near", "accuracy/test"),)
    report = small_report([row(NOISE_FLOOR, "noise floor", 0.8, 1.0), far, near], pairs=apart)
    report = type(report)(**{**report.__dict__, "quantities": quantities})
    assert clear_winner(report, "accuracy/test") == "near"
    # As far on the other side is another number, not a worse one.
    beyond = row("near", "method", 0.9, 1.0)
    report = type(report)(**{**report.__dict__, "rows": [report.rows[0], far, beyond]})
    assert clear_winner(report, "accuracy/test") is None


def test_latex_escapes_and_markdown_is_rectangular():
    latex = latex_text(small_report())
    assert "ε" not in latex and r"\_" in latex and latex.count(r"\begin{tabular}") == 2
    for table in re.findall(r"(?:^\|.*\n)+", markdown_text(small_report()), re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("produce", [markdown_text, latex_text, lambda r: page_text(r, {})])
def test_synthetic_data_are_marked_everywhere(produce):
    assert "synthetic" in produce(small_report(synthetic=True))
    assert "synthetic" not in re.sub(r"\.synthetic \{.*?\}", "", produce(small_report()))


def test_terminal_fits_a_hundred_columns(capsys):
    print_comparison(small_report())
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if "python " not in line) <= 100
    assert any("python unlearn.py method=scrub seeds=8" in line for line in lines)
    assert "equals the" in " ".join(lines)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_number_and_no_heading_is_cut_at_any_width(width, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, to rich
    monkeypatch.setenv("COLUMNS", str(width))
    words = ("a", "of retrain", "forgetting quality", "RMIA accuracy", "memory ε at least", "KLoM")
    quantities = {f"a/{name}": Quantity(name, "higher", unit="%", headline=True) for name in words}
    rows = [
        replace(r, numbers={k: number(0.10123 * (i + 1), 0.02) for i, k in enumerate(quantities)})
        for r in small_report().rows
    ]
    print_comparison(replace(small_report(rows), quantities=quantities))
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = printed.splitlines()
    assert "…" not in printed and "..." not in printed
    assert max(len(line) for line in lines if "python " not in line) <= width
    for i in range(len(words)):
        value = 10.123 * (i + 1)
        assert printed.count(f" {value:.1f}") >= len(rows), "a number is missing or cut"
        assert printed.count(f"{value - 2:.1f}–{value + 2:.1f}") == len(rows)
    for word in " ".join(words).split():
        assert re.search(rf"(?<!\w){word}(?!\w)", printed), f"heading {word} is cut"


def test_text_of_numbers():
    quantity = small_report().quantities["epsilon_hat/median"]
    assert [text(v, quantity) for v in (math.inf, math.nan, 0.0, 1e-5)] == [
        "∞",
        "-",
        "0.000",
        "1.0e-05",
    ]


def test_error_rates_are_those_of_every_threshold():
    positive, negative = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0])
    fpr, fnr = error_rates(positive, negative)
    pairs = set(zip(fpr.round(6).tolist(), fnr.round(6).tolist(), strict=True))
    for t in (0.0, 1.0, 2.0, 3.0):
        expected = ((negative >= t).double().mean(), (positive < t).double().mean())
        assert tuple(round(float(v), 6) for v in expected) in pairs
    assert (0.0, 1.0) in pairs and (1.0, 0.0) in pairs


def test_worst_examples_come_first():
    order = worst(small_report().rows[1], "epsilon_hat")
    assert order[0] == 0  # the infinite one
    values = small_report().rows[1].examples["epsilon_hat"][order]
    assert (values[:-1] >= values[1:]).all()


def test_report_is_written_whole_and_replaced(tmp_path, problem):
    folder = tmp_path / "report"
    report = write_report(small_report(), problem, folder, pictures=False)
    write_report(small_report(), problem, folder)
    stale = folder / "error_trade_off.png"  # of ours, and not drawn without pictures
    assert stale.exists()
    write_report(small_report(), problem, folder, pictures=False)
    assert not stale.exists()
    report = write_report(small_report(), problem, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report"], "something was left aside"
    for name, picture in report.pictures.items():
        assert picture.stat().st_size > 5000, name
        assert picture.with_suffix(".svg").exists()
    assert len(report.pictures) == 4
    kept = np.load(folder / "examples.npz")
    assert kept["gisa/epsilon_hat"].shape == kept["index"].shape == kept["label"].shape
    assert json.loads((folder / "provenance.json").read_text())["versions"]


def test_a_folder_with_something_else_is_refused(tmp_path, problem):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="paths.report"):
        write_report(small_report(), problem, tmp_path / "report")
    assert (tmp_path / "report" / "thesis.txt").exists()


def test_an_older_report_is_replaced_and_nothing_else(tmp_path, problem):
    folder = tmp_path / "report"
    write_report(small_report(), problem, folder, pictures=False)
    (folder / "thesis.tex").write_text("precious")
    (folder / "chapters").mkdir()
    write_report(small_report(), problem, folder, pictures=False)
    assert (folder / "thesis.tex").read_text() == "precious" and (folder / "chapters").is_dir()
    (folder / "provenance.json").unlink()
    with pytest.raises(UserError, match="something else"):
        write_report(small_report(), problem, folder, pictures=False)
    assert (folder / "results.csv").exists() and (folder / "thesis.tex").exists()


def test_pictures_leave_out_what_has_no_numbers(tmp_path, problem):
    rows = [row(NOISE_FLOOR, "noise floor", 0.9, 1.0), row("a", "method", 0.9, 1.0)]
    bare = [type(r)(**{**r.__dict__, "examples": {}, "scores": {}}) for r in rows]
    assert set(draw(small_report(bare), problem, tmp_path)) == {"forgetting_and_utility"}
    assert number(1.0, 0.1).interval.low == 0.9


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
HOOK = """<script>window.problems = [];
window.addEventListener("error", e => problems.push(String(e.message || e.target)), true);
console.error = (...words) => problems.push(words.join(" "));</script>"""
CHECK = """<script>
const table = document.querySelectorAll("table.sortable")[1];
const order = () => [...table.tBodies[0].rows].map(r => r.cells[0].dataset.value);
document.querySelectorAll("details").forEach(d => d.open = true);
const button = table.tHead.rows[0].cells[1].querySelector("button");
const first = order(); button.click(); const rising = order(); button.click();
const falling = order(), sorted = table.tHead.rows[0].cells[1].getAttribute("aria-sort");
const choice = table.closest("section").querySelector("select");
choice.value = "1 0"; choice.dispatchEvent(new Event("change"));
const chosen = order(), root = document.documentElement;
const inScroller = e => e.closest(".scroll") !== null;
const wide = [...document.body.querySelectorAll("*")].filter(e =>
  !inScroller(e) && e.getBoundingClientRect().right > root.clientWidth + 1).length;
const pictures = [...document.images].every(i => i.complete && i.naturalWidth > 0);
parent.postMessage(JSON.stringify({first, rising, falling, chosen, sorted, wide,
  pictures, problems, page: root.scrollWidth, room: root.clientWidth, width: innerWidth}), "*");
</script>"""
# Chromium makes no window narrower than 500 pixels, a frame in it can be.
FRAME = """<body><script>addEventListener("message", e => document.body.dataset.found = e.data);
</script><iframe src="checked.html" style="border: 0; width: {width}px; height: 900px">"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_real_browser(width, tmp_path, problem):
    report = write_report(small_report(), problem, tmp_path / "report")
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    page = page.replace("<head>", f"<head>{HOOK}", 1).replace("</body>", f"{CHECK}</body>", 1)
    (tmp_path / "checked.html").write_text(page, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    found = in_browser(frame, tmp_path)
    assert found["width"] == width
    assert found["problems"] == [] and found["pictures"]
    assert found["page"] <= found["room"] and found["wide"] == 0, "the page overflows"
    by_epsilon = [NOISE_FLOOR, "gisa", "ssd (alpha=10, dampening=0.5)", "finetune", "original"]
    assert found["rising"] == [*by_epsilon, "scrub <few>"] == found["chosen"]
    assert found["falling"] == [*reversed(by_epsilon), "scrub <few>"], "no number sorts last"
    assert found["sorted"] == "descending" and found["first"] != found["rising"]


def in_browser(file: Path, home: Path) -> dict:
    """What the check script found, after the page was loaded from its file."""
    assert CHROMIUM is not None
    flags = ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync", "dump-dom")
    quiet = ("disable-background-networking", "disable-component-update", "hide-scrollbars")
    result = subprocess.run(
        [
            CHROMIUM,
            *(f"--{flag}" for flag in (*flags, *quiet)),
            f"--user-data-dir={home / 'profile'}",
            "--window-size=1400,1000",
            "--virtual-time-budget=5000",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    match = re.search(r'data-found="([^"]*)"', result.stdout)
    assert match, result.stderr[-2000:]
    return json.loads(unescape(match.group(1)))


def test_a_kill_while_a_report_is_published_heals_and_loses_no_file(tmp_path, problem):
    folder = tmp_path / "report"
    write_report(small_report(), problem, folder, pictures=False)
    (folder / "thesis.tex").write_text("mine")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    who = f"{folders._machine()}-{child.pid}-00000000"
    folder.rename(tmp_path / f".report.old.{who}")  # killed between the two renames
    (tmp_path / f".report.writing.{who}").mkdir()
    (tmp_path / ".report.new.theirs").mkdir()
    write_report(small_report(), problem, folder, pictures=False)
    assert (folder / "thesis.tex").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"report", ".report.new.theirs"}


def test_a_report_that_cannot_be_published_loses_no_file(tmp_path, problem, monkeypatch):
    folder = tmp_path / "report"
    write_report(small_report(), problem, folder, pictures=False)
    (folder / "thesis.tex").write_text("mine")
    rename = Path.rename

    def refused(path, target):
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(UserError, match="cannot write"):
        write_report(small_report(), problem, folder, pictures=False)
    assert (folder / "thesis.tex").read_text() == "mine"
    assert (folder / "results.csv").exists()
