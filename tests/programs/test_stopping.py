"""SIGTERM ends every program with status 143 and one line; workers do not outlive their parent."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.compose import ROOT

SMALL = ("trainer=cpu", "model.width=4", "references.retrained=1")
LONG = ("recipe.epochs=100000",)


def begin(program: str, *overrides: str, cwd: Path, **how: object) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / f"{program}.py"), *SMALL, *overrides]
    return subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, text=True, **how)  # type: ignore[call-overload,no-any-return]


def until(done: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def trains(cwd: Path) -> bool:
    return bool(list(cwd.glob("store/.locks/*.lock")))


def listens(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, as /proc tells."""
    [mask] = [
        line.split()[1]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("SigCgt")
    ]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "overrides"),
    [
        ("train", (*LONG,)),
        ("train", (*LONG, "seeds=3")),
        ("unlearn", (*LONG, "logger=none")),
        ("unlearn", (*LONG, "logger=none", "-m", "seed=0,1")),
        ("evaluate", (*LONG, "logger=none")),
    ],
    ids=["train", "bank", "unlearn", "sweep", "evaluate"],
)
def test_sigterm_ends_a_program_with_its_status_and_a_line(program, overrides, tmp_path):
    running = begin(program, *overrides, cwd=tmp_path)
    if program == "evaluate":  # while it reads its configuration: without runs it trains nothing
        until(lambda: listens(running.pid))
    else:
        until(lambda: trains(tmp_path))
        time.sleep(2)
    running.send_signal(signal.SIGTERM)
    told = running.communicate(timeout=60)[1]
    assert running.returncode == 143, told
    lines = [line for line in told.splitlines() if line.startswith("stopped")]
    assert lines == ["stopped; the same command goes on with what is missing"], told
    assert "Traceback" not in told
    left = [p for p in tmp_path.glob("store/*/.*") if p.is_dir() and p.parent.name[0] != "."]
    assert not left


def children(of: int) -> list[int]:
    """Processes that descend from one, as /proc tells."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(words[1])
    found = [of]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_joblib_workers_end_with_their_parent(how, tmp_path):
    words = ("launcher=joblib", "logger=none", "-m", "original_seed=0,1")
    running = begin("unlearn", *LONG, *words, cwd=tmp_path, start_new_session=True)
    states = lambda: list(tmp_path.glob("runs/sweeps/*/*/jobs/*.json"))  # noqa: E731
    until(lambda: len(states()) == 2 and len(list(tmp_path.glob("store/.locks/*"))) >= 2)
    time.sleep(2)
    workers = children(running.pid)
    assert len(workers) >= 2
    running.send_signal(how)
    told = running.communicate(timeout=60)[1] if how == signal.SIGTERM else ""
    running.wait(60)
    until(lambda: not any(map(alive, workers)), 60)
    if how == signal.SIGTERM:
        assert running.returncode == 143, told
        assert told.count("stopped; the same command") == 1, told
