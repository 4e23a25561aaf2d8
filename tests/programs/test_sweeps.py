"""Sweeps as a user starts them: failures, refusals, kills and the same command again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf
from support.compose import ROOT, compose_job, options

from hydra_plugins.unlearn_sweeps.composing import ComposedAhead
from hydra_plugins.unlearn_sweeps.slurm import PatientSlurmLauncher, why_refused
from hydra_plugins.unlearn_sweeps.sweeper import comparison_of, what_differs
from unlearn.programs.sweeps import JobState, Sweep, note, read_state

QUICK = ("recipe.epochs=1", "trainer=cpu", "logger=none")
STUDIES = sorted(path.stem for path in (ROOT / "multirun_sweeps").glob("*.yaml"))


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "unlearn.py"), *QUICK, "-m", *arguments]


def start(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=300)


def metrics_of(home: Path) -> dict[str, dict]:
    """Metrics without costs, by the run's folder."""
    found = {}
    for file in sorted((home / "runs").glob("*/*/*/record.json")):
        values = json.loads(file.read_text())["metrics"]
        kept = {key: value for key, value in values.items() if not key.startswith("cost/")}
        found[str(file.parent.relative_to(home))] = kept
    return found


@pytest.mark.slow
def test_a_failed_job_stops_no_other_and_the_same_line_completes_only_it(tmp_path):
    # At lr=1e30 the loss is no number any more.
    first = start("method=unsir,finetune", "method.lr=0.01,1e30", cwd=tmp_path)
    assert first.returncode == 1, first.stderr
    assert "1 of 4 done, 2 refused, 1 failed" in first.stderr
    assert "failed: method=finetune method.lr=1e" in first.stderr
    assert "the loss is nan" in first.stderr
    assert "refused: method=unsir method.lr=0.01" in first.stderr
    assert "Traceback" not in first.stderr
    [failure] = (tmp_path / "runs").glob("*/finetune-*/*.failed.json")
    assert "loss" in json.loads(failure.read_text())["error"]

    done = start("method=unsir,finetune", "method.lr=0.01", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "to compare them: python evaluate.py dataset=digits model=small_cnn" in done.stderr
    assert "0 of 2 done, 1 skipped, 1 refused" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "kills"), [("local", 2), ("joblib", 1)])
def test_a_sweep_killed_at_any_moment_goes_on_to_the_same_numbers(launcher, kills, tmp_path):
    study = ("method=finetune,ssd", "seed=0,1", f"launcher={launcher}")
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    calm.mkdir()
    shaken.mkdir()
    begin = time.monotonic()
    assert start(*study, cwd=calm).returncode == 0
    seconds = time.monotonic() - begin
    moments = random.Random(0)
    for _ in range(kills):
        victim = subprocess.Popen(
            command(*study),
            cwd=shaken,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds * moments.uniform(0.3, 0.9))
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    last = start(*study, cwd=shaken)
    assert last.returncode == 0, last.stderr
    assert len(metrics_of(calm)) == 4
    assert metrics_of(shaken) == metrics_of(calm)
    left = [path for path in shaken.glob("r*/*/*/.*") if path.suffix != ".lock"]
    left += [path for path in shaken.glob("store/*/.*") if path.is_dir() and path.name != ".locks"]
    assert not left, "a killed writer's folder was never cleared"


@pytest.mark.slow
def test_ctrl_c_leaves_a_sweep_that_goes_on(tmp_path):
    running = subprocess.Popen(
        command("method=finetune", "seed=0,1,2", "method.epochs=400"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):  # until all reference models are there, and the first run trains
        if len(list(tmp_path.glob("store/retrained/[!.]*"))) >= 10:
            break
        time.sleep(0.2)
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=60)[1]
    assert running.returncode == 130, told
    assert "the same command goes on" in told
    assert "1 stopped" in told and "Traceback" not in told


def test_states_survive_and_the_summary_counts_them(tmp_path, capsys):
    states = [
        JobState(0, "done"),
        JobState(1, "skipped"),
        JobState(2, "refused", "not made for this"),
        JobState(3, "failed", "no lr"),
        JobState(4, "failed", "no lr"),
    ]
    for state in states:
        note(tmp_path, JobState(state.number, "running"))
        note(tmp_path, state)
    assert read_state(tmp_path, 3) == states[3] and read_state(tmp_path, 9) is None
    sweep = Sweep(tmp_path, [f"seed={n}" for n in range(6)])
    assert sweep.line().startswith("sweep: 1 of 6 done, 1 skipped, 1 refused, 2 failed; expected")
    assert sweep.close() == 1
    told = capsys.readouterr().err
    assert "failed: seed=3; seed=4: no lr" in told and "refused: seed=2: not made" in told
    assert Sweep(tmp_path, ["a", "b", "c"]).close() == 0  # refused is an answer, not a failure
    assert Sweep(tmp_path, ["a", "b", "c", "d"]).close() == 1
    (tmp_path / "jobs" / "0.json").unlink()
    assert Sweep(tmp_path, ["a", "b", "c"]).close() == 1  # a job that never spoke


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_composes_for_methods_that_exist(study):
    config = OmegaConf.load(ROOT / "multirun_sweeps" / f"{study}.yaml")
    swept = config.hydra.sweeper.params
    methods = str(swept.get("method", "gisa"))
    if not methods.startswith("glob(*"):
        assert set(methods.split(",")) <= set(options("method"))
    defaults = [str(item) for item in config.defaults]
    dataset = next((d.split("'")[3] for d in defaults if "override dataset" in d), "digits")
    job = compose_job(f"dataset={dataset}", "method=finetune")
    assert job.choices["dataset"] == dataset
    comment = (ROOT / "multirun_sweeps" / f"{study}.yaml").read_text().split("defaults:")[0]
    assert "?" in comment and "Cost:" in comment and "Table:" in comment


@pytest.fixture
def searching():
    """Hydra knows where configs are, as in a program: tuned values are looked for there."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def test_sharing_a_composition_changes_no_config(searching):
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{ROOT / 'conf'}"))
    master = loader.load_configuration("unlearn", ["method=ssd,gisa", "seed=0,1"], RunMode.MULTIRUN)
    ahead = ComposedAhead(loader)
    jobs = [
        ["method=ssd", "seed=3", "original_seed=1"],
        ["method=ssd", "seed=4", "original_seed=seed"],
        ["seed=1", "method=finetune", "method.lr=0.5", "seeds=[1,2]"],
        ["method=gisa", "dataset=digits", "+forget.extra=1", "seed=2", "at_once=null"],
    ]
    for job in jobs:
        ahead.compose(master, job)
    assert len(ahead.shared) < len(jobs)
    for job in jobs:
        shared, alone = ahead.load_sweep_config(master, job), loader.load_sweep_config(master, job)
        assert OmegaConf.to_container(shared) == OmegaConf.to_container(alone)
    with pytest.raises(Exception, match="Could not override 'nosuch'"):
        ahead.compose(master, ["nosuch=1"])


def test_labels_say_what_differs():
    assert what_differs([["a=1", "b=1"], ["a=1", "b=2"]]) == ["b=1", "b=2"]
    assert what_differs([["a=1"]]) == ["a=1"]


def test_the_comparison_of_a_sweep_states_its_problem(searching):
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{ROOT / 'conf'}"))
    master = loader.load_configuration("unlearn", [], RunMode.MULTIRUN)
    job = ["method=ssd", "seed=1", "forget=class", "recipe.epochs=2", "references.missing=fail"]
    assert comparison_of(loader.load_sweep_config(master, job), job) == (
        "python evaluate.py dataset=digits model=small_cnn forget=class recipe=digits "
        "recipe.epochs=2"
    )


def test_what_sbatch_refuses_takes_one_line_and_names_the_setting():
    told = (
        "sbatch: error: Memory specification can not be satisfied\n"
        "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    )
    line = why_refused(told)
    assert "\n" not in line and "sbatch:" not in line and "hydra.launcher.mem_gb" in line
    assert "hydra.launcher.partition" in why_refused(
        "sbatch: error: invalid partition specified: x"
    )


def test_refused_methods_are_found_before_they_are_submitted(searching, tmp_path):
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{ROOT / 'conf'}"))
    launcher = PatientSlurmLauncher()
    launcher.config = loader.load_configuration("unlearn", ["trainer=cpu"], RunMode.MULTIRUN)
    launcher.hydra_context = HydraContext(config_loader=loader, callbacks=Callbacks())
    jobs = [[f"method={name}", f"paths.store={tmp_path}"] for name in ("unsir", "ssd")]
    assert list(launcher._refused(jobs, 7)) == [7]
    assert "forget sets of kind class" in launcher._refused(jobs, 7)[7]


def test_a_plan_that_the_login_node_cannot_make_does_not_stop_the_submission(
    searching, monkeypatch, capsys
):
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{ROOT / 'conf'}"))
    launcher = PatientSlurmLauncher()
    launcher.config = loader.load_configuration("unlearn", [], RunMode.MULTIRUN)
    launcher.hydra_context = HydraContext(config_loader=loader, callbacks=Callbacks())

    def fails(job):
        raise OSError("no such driver here\nand more")

    monkeypatch.setattr("unlearn.programs.plan.plan_unlearning", fails)
    assert launcher._refused([["method=ssd"], ["method=unsir"]], 0) == {}
    told = capsys.readouterr().err
    assert told.count("no such driver here") == told.count("\n") == 1
