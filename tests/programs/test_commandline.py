"""The three programs as a user starts them: real processes, from another working directory."""

import json
import re
import subprocess
import sys

import pytest
from support.compose import ROOT, options
from support.programs import start

from unlearn.programs.commandline import overrides_last

QUICK = ("recipe.epochs=2", "trainer=cpu", "logger=none")


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
    "experiment=nonsense": ("mufac_gisa",),
    "method=null": ("a group cannot be null",),
    "+methd=gisa": ("did you mean 'method'",),
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


@pytest.mark.parametrize("program", ["train", "unlearn", "evaluate"])
def test_help_fits_two_screens_and_lists_what_can_be_chosen(program, tmp_path):
    shown = start(program, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) <= 2 * 24
    assert max(map(len, lines)) <= 80
    words = set(re.split(r"[\s,]+", shown.stdout))
    groups = {"dataset", "model", "forget", "recipe", "trainer", "launcher", "experiment"}
    groups |= {"train": set(), "evaluate": {"eval", "logger"}}.get(
        program, {"eval", "logger", "method"}
    )
    for group in groups:
        assert f"{group}:" in words and set(options(group)) <= words
    assert "tuned:" not in words and "digits_small_cnn" not in words


def test_help_is_shown_whatever_else_is_asked(tmp_path):
    plain = start("unlearn", "--help", cwd=tmp_path).stdout
    assert start("unlearn", "method=nonsense", "-m", "-h", cwd=tmp_path).stdout == plain
    study = ("--config-dir", str(ROOT / "multirun_sweeps"), "--config-name", "seeds")
    assert start("unlearn", *study, "--help", cwd=tmp_path).stdout == plain
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_answered_by_those_there_are(tmp_path):
    studies = {path.stem for path in (ROOT / "multirun_sweeps").glob("*.yaml")}
    folder = ("--config-dir", str(ROOT / "multirun_sweeps"))
    for words in ((), folder):
        result = start("unlearn", *words, "--config-name", "nope", cwd=tmp_path)
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        named = set(re.split(r"[\s,;]+", line))
        assert studies | {"train", "unlearn", "evaluate"} <= named and "common" not in named
        assert "--config-dir multirun_sweeps" in line or words


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("method=gisa -m seed=0,1", "-m method=gisa seed=0,1"),
        ("a=1 --config-name x b=2 -cd y=z c=3", "--config-name x -cd y=z a=1 b=2 c=3"),
        ("--info a=1", "--info a=1"),
        ("a=1 --info plugins -p k", "--info plugins -p k a=1"),
        ("~tuned --cfg job +x=1", "--cfg job ~tuned +x=1"),
        ("--config-name=x a=1 --resolve b=2", "--config-name=x --resolve a=1 b=2"),
    ],
)
def test_overrides_go_behind_options_and_their_values(typed, understood, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["unlearn.py", *typed.split()])
    overrides_last()
    assert sys.argv[1:] == understood.split()
