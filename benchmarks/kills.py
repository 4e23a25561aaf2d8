"""Trainings killed at random moments and started again: do they end at undisturbed ones' bits?

    python benchmarks/kills.py [--kills 42] [--seed 0] [--json kills.json]

Three kinds of work on the digits, with checkpoints every 0.3 seconds: one model, a bank of models,
and a sweep of two runs at a time with joblib, whose original models are trained by its workers. A
trial starts in an empty folder, is hit by three signals (SIGKILL, SIGTERM or SIGINT), one a start,
each at a random moment of the work, and is then left alone. All stored models and
outputs are compared, tensor by tensor, with those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workloads import table, write

ROOT = Path(__file__).resolve().parents[1]
COMMON = ("trainer=cpu", "model.width=4", "recipe.epochs=20", "trainer.checkpoint_minutes=0.005")
WORK = {
    "one model": ("train.py", "seed=3"),
    "bank of 4": ("train.py", "seeds=4"),
    "joblib sweep": (
        "unlearn.py", "method=finetune", "method.epochs=20", "launcher=joblib", "logger=none",
        "references.retrained=2", "original_seed=seed", "-m", "seed=0,1",
    ),
}  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
KILLS_A_TRIAL = 3
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=42)
    parser.add_argument("--work", nargs="*", choices=list(WORK), default=list(WORK))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="trials of earlier runs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    moments = random.Random(options.seed)
    calm: dict[str, tuple[dict[str, str], float]] = {}
    for name in options.work if options.kills else ():
        words = WORK[name]
        home = folder / name.replace(" ", "_")
        home.mkdir()
        begun = begin(words, home)
        until_work(begun)
        start = time.monotonic()
        begun.wait()
        assert begun.returncode == 0, f"the undisturbed {name} failed"
        calm[name] = digests(home), time.monotonic() - start
        print(f"{name}: {len(calm[name][0])} files, {calm[name][1]:.1f} s of work", flush=True)
    rows: list[dict[str, Any]] = []
    for file in options.also:
        rows += json.loads(file.read_text())["trials"]
    trial, mine = 0, 0
    while mine < options.kills:
        name = options.work[trial % len(options.work)]
        rows.append(shaken(name, *calm[name], folder / f"trial{trial}", moments))
        mine += rows[-1]["kills"]
        print(f"{trial}: {rows[-1]}", flush=True)
        trial += 1
        write(options.json, {"complete": False, "trials": rows})
    summary = []
    for name in WORK:
        of_kind = [row for row in rows if row["work"] == name]
        summary.append(
            {
                "work": name,
                "kills": sum(row["kills"] for row in of_kind),
                "trials": len(of_kind),
                "went on from a checkpoint": sum(
                    row["went on from a checkpoint"] for row in of_kind
                ),
                "bit-equal": sum(row["bit-equal"] for row in of_kind),
                "wrong status": sum(len(row["wrong status"]) for row in of_kind),
                "left over": sum(row["left over"] for row in of_kind),
            }
        )
    table(summary)
    write(options.json, {"complete": True, "summary": summary, "trials": rows})
    shutil.rmtree(folder)
    raise SystemExit(any(row["bit-equal"] < row["trials"] for row in summary))


def shaken(
    name: str, wanted: dict[str, str], seconds: float, home: Path, moments: random.Random
) -> dict[str, Any]:
    """One trial: kills, then the same command to its end."""
    home.mkdir()
    signals: Counter[str] = Counter()
    gone_on, wrong = 0, []
    for _ in range(KILLS_A_TRIAL):
        running = begin(WORK[name], home)
        until_work(running)
        time.sleep(moments.uniform(0.0, seconds / 2))  # machines get faster, too
        kept = bool(list(home.glob("store/.checkpoints/*/[0-9]*")))
        one = moments.choice(SIGNALS)
        if running.poll() is None:
            # Ctrl-C reaches all processes of a terminal; the others the one that was started.
            (os.killpg if one == signal.SIGINT else os.kill)(running.pid, one)
            signals[one.name] += 1
            running.wait()
            # A shell says 130 and 143 of processes that such a signal ended, too.
            if running.returncode not in (STATUS[one], -one, 0):
                wrong.append([one.name, running.returncode])
        else:
            signals["ended before"] += 1
            break
        gone_on += kept or bool(list(home.glob("store/.checkpoints/*/[0-9]*")))
    last = begin(WORK[name], home)
    last.wait()
    found, left = digests(home), len(list(home.glob("store/.checkpoints/*/*")))
    shutil.rmtree(home, ignore_errors=True)
    return {
        "work": name,
        "kills": sum(count for word, count in signals.items() if word != "ended before"),
        "signals": dict(signals),
        "went on from a checkpoint": gone_on,
        "wrong status": wrong,
        "last status": last.returncode,
        "left over": left,
        "bit-equal": last.returncode == 0 and found == wanted,
    }


def begin(words: tuple[str, ...], home: Path) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    command = [sys.executable, str(ROOT / words[0]), *COMMON, *words[1:]]
    return subprocess.Popen(command, cwd=home, stdout=quiet, stderr=quiet, start_new_session=True)


def until_work(running: subprocess.Popen[bytes]) -> None:
    """Wait until a start has passed its imports and it or one of its workers holds a lock."""
    while running.poll() is None and not any(map(holds_lock, family(running.pid))):
        time.sleep(0.05)


def family(pid: int) -> list[int]:
    """A process and its descendants, as /proc tells."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def holds_lock(pid: int) -> bool:
    """Whether a process has a lock file of a store open."""
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "/store/.locks/" in str(descriptor.readlink()):
                    return True
    return False


def digests(home: Path) -> dict[str, str]:
    """Hashes of the tensors of all stored models and runs, by place."""
    found = {}
    for file in sorted(
        [*home.glob("store/[!.]*/*/*.safetensors"), *home.glob("runs/*/*/*/*.safetensors")]
    ):
        tensors = load_file(file)
        code = hashlib.sha256()
        for key in sorted(tensors):
            code.update(key.encode() + tensors[key].contiguous().numpy().tobytes())
        found[str(file.relative_to(home))] = code.hexdigest()
    return found


if __name__ == "__main__":
    main()
