"""Scripts and commands are the same programs, and find their configs from any folder."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support.compose import CONF, ROOT

from hydra_plugins.unlearn_sweeps.slurm import import_path
from unlearn.programs import entry
from unlearn.programs.folders import shipped

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = {"train": "unlearn-train", "unlearn": "unlearn-run", "evaluate": "unlearn-evaluate"}


@pytest.mark.parametrize("script", COMMANDS)
def test_script_and_command_are_one_program(script):
    function = EntryPoint(COMMANDS[script], PROJECT["scripts"][COMMANDS[script]], "").load()
    source = (ROOT / f"{script}.py").read_text()
    assert f"from unlearn.programs.entry import {function.__name__}\n" in source
    assert getattr(entry, function.__name__) is function
    assert len(source.splitlines()) <= 10


def test_shipped_configs_lie_in_the_package_or_beside_it(tmp_path, monkeypatch):
    assert shipped("conf") == CONF
    (tmp_path / "site" / "unlearn" / "conf").mkdir(parents=True)
    monkeypatch.setattr("unlearn.programs.folders.PACKAGE", tmp_path / "site" / "unlearn")
    assert shipped("conf") == tmp_path / "site" / "unlearn" / "conf"


@pytest.mark.parametrize(
    "option", [["--config-dir", "NAME"], ["-cd", "NAME"], ["--config-dir=NAME"]]
)
def test_studies_come_with_the_project_unless_the_user_has_some(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def last(name: str) -> str:
        words = [word.replace("NAME", name) for word in option]
        return entry.with_shipped_studies(["seed=1", *words, "-m"])[-2]

    assert last("multirun_sweeps").removeprefix("--config-dir=") == str(ROOT / "multirun_sweeps")
    assert last("others").removeprefix("--config-dir=") == "others"
    (tmp_path / "multirun_sweeps").mkdir()
    assert last("multirun_sweeps").removeprefix("--config-dir=") == "multirun_sweeps"


def test_slurm_jobs_get_the_path_of_a_checkout_only(tmp_path):
    assert import_path() == [f"export PYTHONPATH={ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"]
    assert import_path(tmp_path) == []


@pytest.mark.slow
def test_a_folder_of_ones_own_adds_a_method(tmp_path):
    """Its `_target_` is imported from the current folder, in joblib's processes too."""
    (tmp_path / "mine" / "method").mkdir(parents=True)
    (tmp_path / "mine" / "method" / "own.yaml").write_text("_target_: own_method.Own\n")
    (tmp_path / "own_method.py").write_text(
        "from unlearn.methods.base import UnlearningMethod\n\n\n"
        "class Own(UnlearningMethod):\n    requires = ()\n"
    )
    words = ["--config-dir", "mine", "method=own", "launcher=joblib", "-m", "seed=0,1"]
    words += ["recipe.epochs=1", "trainer=cpu", "logger=none"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "unlearn.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 done" in done.stderr
    assert len(list(Path(tmp_path).glob("runs/*/own-*/*/record.json"))) == 2
