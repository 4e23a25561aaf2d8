"""The three programs as a user starts them: real processes, from another working directory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.compose import ROOT

QUICK = ("recipe.epochs=2", "trainer=cpu", "logger=none")


def start(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / f"{program}.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_train_unlearn_evaluate_and_skip(tmp_path):
    bank = start("train", "role=retrain", "seeds=[0,1]", *QUICK[:2], cwd=tmp_path)
    assert bank.returncode == 0, bank.stderr
    assert "2 trained now" in bank.stderr

    sweep = ("method=finetune", "-m", "seed=0,1", "table=true")
    first = start("unlearn", *QUICK, *sweep, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    for word in ("original", "retrained", "finetune", "retain", "forget", "test"):
        assert word in first.stdout
    found = sorted((tmp_path / "runs").glob("*/finetune-*/original0_seed*/record.json"))
    assert len(found) == 2
    stamps = [path.stat().st_mtime_ns for path in found]

    second = start("unlearn", *sweep, *QUICK, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert [path.stat().st_mtime_ns for path in found] == stamps, "a finished run was repeated"

    report = start("evaluate", *QUICK, "eval=standard", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert "finetune" in report.stdout
    assert json.loads(found[0].read_text())["metrics"]["accuracy/test"] > 0.5


BAD = {
    "method=nonsense": ("finetune", "gisa"),
    "dataset=nonsense": ("digits",),
    "eval=nonsense": ("accuracy",),
    "method.lrr=1": ("lrr",),
    "+method.lrr=1": ("did you mean 'lr'",),
    "method.lr=-1": ("method.lr must lie in",),
    "method.lr=high": ("method.lr must be a number",),
    "forget.fraction=0": ("forget.fraction must lie strictly between 0 and 1",),
    "forget.fraction=1": ("forget.fraction must lie strictly between 0 and 1",),
    "seeds=[1,1]": ("twice",),
}


@pytest.mark.slow
@pytest.mark.parametrize("override", BAD)
def test_bad_input_is_one_clear_line(override, tmp_path):
    result = start("unlearn", *QUICK, override, cwd=tmp_path)
    assert result.returncode not in (0, -9)
    for word in BAD[override]:
        assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("store/*/*"))
    assert not list(tmp_path.glob("runs/*/*/*/record.json"))


@pytest.mark.parametrize("program", ["train", "unlearn", "evaluate"])
def test_help_is_quick_and_does_not_load_torch(program, tmp_path):
    code = (
        "import runpy, sys, time\n"
        f"sys.argv = ['{program}.py', '--help']\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"try:\n    runpy.run_path({str(ROOT / (program + '.py'))!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "dataset" in result.stdout and "method" in result.stdout
