"""Damage files in every way and look what the programs make of it.

    python benchmarks/corruptions.py [--seed 0] [--only WORD] [--json FILE]

A small problem on images is trained, unlearned and compared once. Then, each time on a fresh copy,
one thing is damaged in the store, the runs or the cache of decoded images, and the comparison is
made, the runs are started again (after damage to an original model with overwrite=true, since only
then it is read), and the comparison is made once more. Every number but costs is held against the
undisturbed comparison's.

    named      a line names what is damaged, or an error of one line ends the program
    healed     after the second start all numbers are those of the undisturbed comparison
    harmless   nothing is said, and no number ever differs
    silent     a number differs and nothing was said: must not happen
    traceback  the program broke: must not happen

Unreadable files need root, which hands its files to another user and becomes it.
"""

import argparse
import contextlib
import io
import json
import logging
import math
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environment import environment
from hydra import compose, initialize_config_dir
from PIL import Image

from unlearn.errors import UserError
from unlearn.programs import composing
from unlearn.programs.evaluate import compare
from unlearn.programs.folders import shipped
from unlearn.programs.job import Job
from unlearn.programs.plan import plan_comparison
from unlearn.programs.train import train
from unlearn.programs.unlearn import unlearn

SOMEBODY = 54321  # a user without rights
WORDS = ("model=small_cnn", "recipe.epochs=1", "trainer=cpu", "at_once=1", "references.retrained=2")

Damage = Callable[[Path], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a word of the names of the corruptions to try")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    said = _listen()
    with tempfile.TemporaryDirectory(prefix="corruptions-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        calm, home = folder / "calm", folder / "home"
        draw_images(folder / "images")
        make(calm, folder / "images")
        expected = numbers(calm, folder / "images")
        found: dict[str, dict[str, Any]] = {}
        for name, apply in corruptions(calm, random.Random(options.seed)):
            if options.only not in name:
                continue
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(calm, home)
            found[name] = attempt(home, folder / "images", name, apply, expected, said)
            print(f"{found[name]['outcome']:10} {name}: {found[name]['line']}", flush=True)
    counts = Counter(result["outcome"] for result in found.values())
    told = sum(result["named"] for result in found.values())
    equal = sum(result["after"] == "equal" for result in found.values())
    print(f"{len(found)} corruptions: {dict(counts)}; {told} told, {equal} without a trace after")
    if options.json:
        summary = {"corruptions": len(found), "told": told, "equal_after": equal, **counts}
        text = json.dumps(
            {"environment": environment(), "summary": summary, "results": found}, indent=1
        )
        options.json.write_text(text + "\n")
    raise SystemExit(bool(counts["silent"] or counts["traceback"]))


def draw_images(root: Path) -> None:
    """Ninety noisy squares of three brightnesses."""
    generator = np.random.default_rng(0)
    for role, count in (("train", 20), ("test", 10)):
        for kind in range(3):
            folder = root / role / f"class{kind}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = 60 * kind + generator.integers(0, 90, (8, 8, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def job(home: Path, images: Path, program: str, *words: str) -> Job:
    folders = [f"paths.{name}={home / name}" for name in ("data", "store", "runs", "report")]
    problem = ["dataset=image_folder", f"dataset.root={images}", *WORDS, *folders]
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        config = compose(program, [*problem, *words], return_hydra_config=True)
    return Job.composed(config, config.hydra)


def make(home: Path, images: Path) -> None:
    """Reference models one by one, so that one made again alone has the same bits, and runs."""
    for seed in (0, 1):
        train(job(home, images, "train", f"seed={seed}"))
    start(home, images)


def start(home: Path, images: Path, *more: str) -> None:
    words = ("logger=none", "method=ssd", "eval=standard", "table=false", "original_seed=seed")
    unlearn(job(home, images, "unlearn", *words, "seeds=3", *more))


def numbers(home: Path, images: Path) -> dict[str, float]:
    """Every number of the comparison but costs, and the runs of every row."""
    words = ("logger=none", "eval=standard", "pictures=false", "resampling.models=4")
    report = compare(plan_comparison(job(home, images, "evaluate", *words)))
    found = {f"{row.label} runs": float(len(row.runs)) for row in report.rows}
    for row in report.rows:
        for key, number in row.numbers.items():
            if not key.startswith("cost/"):
                found[f"{row.label} {key}"] = -1.0 if math.isnan(number.value) else number.value
    return found


def corruptions(calm: Path, chance: random.Random) -> list[tuple[str, Damage]]:
    """Names of what is damaged and how, and what does it to a copy."""

    def first(pattern: str) -> Path:
        return sorted(calm.glob(pattern))[0].relative_to(calm)

    def second(pattern: str) -> Path:
        return sorted(calm.glob(pattern))[1].relative_to(calm)

    folders = {
        "original": "store/original/*",
        "retrained": "store/retrained/*",
        "outputs": "store/outputs/*",
        "run": "runs/*/ssd-*/original*",
    }
    files = {
        f"{kind} {name}": first(f"{pattern}/{name}")
        for kind, pattern in folders.items()
        for name in (
            ("record.json", "outputs.safetensors", "model.safetensors", "checksums.json")
            if kind == "run"
            else ("tensors.safetensors", "meta.json", "description.json", "checksums.json")
        )
    }
    for kind in ("npy", "ids", "sums"):
        files[f"cache pixels.{kind}"] = first(f"data/cache/pixels/*.{kind}")
    files["cache note"] = first("data/cache/files/*.json")

    def on(path: Path, damage: Damage) -> Damage:
        return lambda home: damage(home / path)

    ways: dict[str, Damage] = {
        "bit flipped at the start": lambda path: flip(path, 0, chance),
        "bit flipped in the middle": lambda path: flip(path, path.stat().st_size // 2, chance),
        "bit flipped at the end": lambda path: flip(path, path.stat().st_size - 1, chance),
        "half of it": lambda path: cut(path, path.stat().st_size // 2),
        "emptied": lambda path: cut(path, 0),
        "deleted": lambda path: path.unlink(),
        "foreign": lambda path: [path.write_bytes(b"{}"), None][1],
        "a folder in its place": lambda path: [path.unlink(), path.mkdir()][1],
    }
    found = [
        (f"{name}: {way}", on(path, damage))
        for name, path in files.items()
        for way, damage in ways.items()
    ]
    for kind, pattern in folders.items():
        one, other = first(pattern), second(pattern)
        big = "outputs.safetensors" if kind == "run" else "tensors.safetensors"
        found += [
            (f"{kind}: two exchanged", exchanging(one, other)),
            (f"{kind}: tensors of two exchanged", exchanging(one / big, other / big)),
            (f"{kind}: the other in its place", replacing(one, other)),
            (f"{kind}: gone", on(one, shutil.rmtree)),
            (f"{kind}: all files gone", on(one, emptied)),
            (f"{kind}: a foreign file in it", on(one / "notes.txt", Path.touch)),
            (f"{kind}: copied beside itself", copying(one, one.with_name(f"{one.name} copy"))),
        ]
        if os.geteuid() == 0:
            found += [
                (f"{kind}: folder of mode 000", on(one, lambda path: path.chmod(0))),
                (f"{kind}: file of mode 000", on(one / big, lambda path: path.chmod(0))),
            ]
    if os.geteuid() == 0:
        pixels = files["cache pixels.npy"]
        found += [("cache pixels.npy: of mode 000", on(pixels, lambda path: path.chmod(0)))]
    return found


def flip(path: Path, at: int, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def exchanging(one: Path, other: Path) -> Damage:
    def work(home: Path) -> None:
        (home / one).rename(home / "aside")
        (home / other).rename(home / one)
        (home / "aside").rename(home / other)

    return work


def replacing(one: Path, other: Path) -> Damage:
    def work(home: Path) -> None:
        shutil.rmtree(home / one)
        shutil.copytree(home / other, home / one)

    return work


def copying(one: Path, target: Path) -> Damage:
    return lambda home: [shutil.copytree(home / one, home / target), None][1]


def attempt(
    home: Path,
    images: Path,
    name: str,
    damage: Damage,
    expected: dict[str, float],
    said: list[str],
) -> dict[str, Any]:
    """Damage, compare, start again, compare again."""
    damage(home)
    somebody = "mode 000" in name
    if somebody:
        for path in (home, *home.rglob("*")):
            os.chown(path, SOMEBODY, SOMEBODY)
    said.clear()
    with somebody_else() if somebody else contextlib.nullcontext():
        before = outcome(lambda: numbers(home, images), expected, said)
        more = ["overwrite=true"] if name.startswith("original") else []
        started = outcome(lambda: start(home, images, *more), None, said)
        after = outcome(lambda: numbers(home, images), expected, said)
    lines = [line for line in said if any(word in line for word in TELLING)]
    named = bool(lines)
    if "traceback" in (before, started, after):
        verdict = "traceback"
    elif not named:
        verdict = "harmless" if before == after == "equal" else "silent"
    else:
        verdict = "healed" if after == "equal" else "named"
    line = lines[0].replace(str(home), "") if lines else ""
    return {"outcome": verdict, "named": named, "before": before, "after": after, "line": line}


TELLING = ("damaged", "cannot read", "cannot write", "cannot be read", "Traceback", "no finished")


def outcome(
    work: Callable[[], dict[str, float] | None], expected: dict[str, float] | None, said: list[str]
) -> str:
    """`equal`, `differs`, `error` in one line, or `traceback`."""
    told = io.StringIO()
    for kept in (composing._datasets, composing._problems, composing._references):
        kept.clear()  # as in a process of its own
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            result = work()
    except UserError as error:
        said.append(str(error))
        return "error" if "\n" not in str(error) else "traceback"
    except Exception as error:
        said.append(f"Traceback: {type(error).__name__}: {error}")
        return "traceback"
    finally:
        said += told.getvalue().splitlines()
    return "equal" if expected is None or result == expected else "differs"


@contextlib.contextmanager
def somebody_else() -> Any:
    """As a user whom file modes hold back."""
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _listen() -> list[str]:
    """Everything the package logs from now on."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log = logging.getLogger("unlearn")
    log.addHandler(Kept())
    log.setLevel(logging.WARNING)
    return lines


if __name__ == "__main__":
    main()
