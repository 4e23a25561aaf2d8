"""Loggers: what a dashboard would show, read back from offline files; nothing private in them."""

import csv
import errno
import re
import socket
import time
from pathlib import Path

import pytest
from safetensors.torch import save_file
from support.compose import compose_job
from support.wandb_files import offline_runs

from unlearn.programs.composing import references_of
from unlearn.programs.evaluate import evaluate
from unlearn.programs.unlearn import unlearn
from unlearn.tracking import wandb as wandb_logger
from unlearn.tracking import wandb_server
from unlearn.tracking.base import RunInfo
from unlearn.tracking.redaction import shareable, shareable_text

QUICK = ("recipe.epochs=1", "trainer=cpu", "table=false", "method=scrub", "eval=standard")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """What the module remembers for the life of a process."""
    monkeypatch.setattr(wandb_logger, "_told", set())
    monkeypatch.setattr(wandb_logger, "_broken", type(wandb_logger._broken)())
    monkeypatch.setattr(wandb_logger, "_unreachable", type(wandb_logger._unreachable)())
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "/nonexistent")


def test_a_run_shows_curves_summary_config_and_table(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
    job = compose_job(*QUICK, "seed=4", "logger.tags=[mine]", home=tmp_path)
    result = unlearn(job)
    [run] = offline_runs(tmp_path)
    assert run.run.project == "unlearning" and run.run.job_type == "scrub"
    assert run.run.run_group == "digits_small_cnn_random_10_percent"
    assert {"digits", "small_cnn", "random_10_percent", "mine"} == set(run.run.tags)
    assert run.exit_code == 0

    assert run.config["seed"] == 4 and run.config["method"]["_target_"].endswith("SCRUB")
    assert run.config["recipe"]["epochs"] == 1
    assert len(run.config["problem_digest"]) == 64
    assert run.config["problem"]["sizes"]["forget"] > 0

    shown = {key: run.summary[key] for key in result["metrics"] if key in run.summary}
    known = {key: value for key, value in result["metrics"].items() if value is not None}
    assert shown == pytest.approx(known)

    phases = {key for row in run.history for key in row if key.startswith("loss/")}
    assert len(phases) > 1, "a curve for each phase"
    steps = [row["step"] for row in run.history if "step" in row]
    assert steps == sorted(steps) and steps[-1] == result["metrics"]["cost/steps"]
    assert "loss/*" in run.metrics
    assert [artifact.type for artifact in run.artifacts] == ["run_table"]
    assert "wandb sync" in caplog.text


def test_nothing_private_is_logged(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
    unlearn(compose_job(*QUICK, home=tmp_path))
    [file] = tmp_path.glob("runs/wandb/offline-run-*/*.wandb")
    [run] = offline_runs(tmp_path)
    local = [content.local_path for a in run.artifacts for content in a.manifest.contents]
    data = file.read_bytes()
    for path in local:  # where wandb finds the file to send; it is not sent itself
        data = data.replace(path.encode(), b"")
    for private in (str(tmp_path), "/home/", "/root/", "/usr/", socket.gethostname() + '"'):
        assert private.encode() not in data, private
    assert run.run.host == "" and "environment" not in run.kinds


def test_nothing_of_a_comparison_holds_a_path_of_this_machine(tmp_path, monkeypatch):
    """The artifact's tables, config and summary; the files here keep the whole commands."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
    words = ("recipe.epochs=1", "trainer=cpu", "references.retrained=2", "eval=[accuracy,klom]")
    net = references_of(compose_job(*words, home=tmp_path)).problem.fresh_network(0)
    for name in ("a", "b"):  # two rows that a folder tells apart
        (tmp_path / name).mkdir()
        for parameter in net.parameters():
            parameter.data.mul_(0.9)
        save_file(net.state_dict(), tmp_path / name / "0.safetensors")
        files = f"method.files={tmp_path / name}/*.safetensors"
        given = ("method=external", files, "logger=none", "table=false", "seed=0")
        unlearn(compose_job(*words, *given, home=tmp_path))
    job = compose_job(*words, "resampling.models=4", program="evaluate", home=tmp_path)
    report = evaluate(job)
    assert sum("external" in row for row in report["rows"]) == 2
    [run] = offline_runs(tmp_path)
    [artifact] = [a for a in run.artifacts if a.type == "report"]
    sent = {c.path: Path(c.local_path).read_text() for c in artifact.manifest.contents}
    assert set(sent) == {"results.csv", "results.md", "results.tex"}
    here = (Path(report["report"]) / "results.md").read_text()
    assert str(tmp_path) in here and "paths.store=store" in sent["results.md"]
    assert "\\toprule" in sent["results.tex"]
    assert sent["results.csv"].count("\n") > 10
    for text in (*sent.values(), repr(run.config), repr(run.summary), repr(run.history)):
        assert str(tmp_path) not in text and str(tmp_path).replace("_", "\\_") not in text
        assert not re.search(r"(?<![\w.:/-])/(tmp|root|home|usr)\b", text)
    [file] = tmp_path.glob("runs/wandb/offline-run-*/*.wandb")
    data = file.read_bytes()
    for path in [c.local_path for a in run.artifacts for c in a.manifest.contents]:
        data = data.replace(path.encode(), b"")
    assert str(tmp_path).encode() not in data


def test_slashes_that_are_no_paths_stay_in_texts():
    for text in (
        "KL / JS",
        "member/non-member",
        "https://example.org/a/b",
        r"\textbf{a}/\%",
        "1/2",
    ):
        assert shareable_text(text) == text
    told = "run  python train.py paths.store=/scratch/me/store 'forget.file=~/a b/c.txt' (/data/x)"
    assert (
        shareable_text(told) == "run  python train.py paths.store=store 'forget.file=a b/c.txt' (x)"
    )


def test_paths_and_secrets_are_taken_out_of_configs():
    config = {
        "file": "/data/secret lab/model.safetensors",
        "overrides": ["paths.data=/scratch/me/data", "a.api_key=123", "dataset=digits"],
        "nested": {"wandb_api_key": "123", "token": None, "list": ["~/x/y.csv", 3, 0.5, None]},
        "share": "1/2",
        "target": "unlearn.methods.ssd.SSD",
    }
    clean = shareable(config)
    assert clean["overrides"] == ["paths.data=data", "a.api_key=hidden", "dataset=digits"]
    assert clean["nested"] == {
        "wandb_api_key": "hidden",
        "token": None,
        "list": ["y.csv", 3, 0.5, None],
    }
    assert clean["share"] == "1/2" and clean["target"] == config["target"]
    assert "/data" not in clean["file"] and clean["file"].endswith("model.safetensors")


def test_a_key_without_a_network_costs_seconds_and_one_line(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", address)
        begin = time.monotonic()
        for _ in range(2):
            logger = wandb_logger.WandbLogger("p", str(tmp_path))
            assert logger._mode() == "offline"
        assert time.monotonic() - begin < 2 * wandb_server.CONNECT_SECONDS
    assert caplog.text.count("does not answer") == 1


def test_a_broken_wandb_is_one_warning_and_no_failure(tmp_path, monkeypatch, caplog):
    import wandb

    def broken(*_, **__):
        raise RuntimeError("the service did not start")

    monkeypatch.setattr(wandb, "init", broken)
    for seed in (0, 1):
        result = unlearn(compose_job(*QUICK, f"seed={seed}", home=tmp_path))
        assert result["ran"] == 1
    assert caplog.text.count("wandb does not work (the service did not start)") == 1


def test_a_failing_run_is_closed_as_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
    logger = wandb_logger.WandbLogger("p", str(tmp_path))
    logger.prepare()
    logger.started(RunInfo("n", "m", "g", (), {}))
    logger.failed()
    [run] = offline_runs(tmp_path)
    assert run.exit_code == 1


def test_csv_has_every_step(tmp_path):
    result = unlearn(compose_job(*QUICK, "logger=csv", home=tmp_path))
    [file] = tmp_path.glob("runs/*/*/*/losses.csv")
    rows = list(csv.DictReader(file.open()))
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == result["metrics"]["cost/steps"]
    [file] = tmp_path.glob("runs/*/*/*/metrics.csv")
    shown = {row["metric"]: row["value"] for row in csv.DictReader(file.open())}
    assert float(shown["accuracy/test"]) == result["metrics"]["accuracy/test"]


def test_csv_on_a_full_disk_is_one_line_and_loses_no_run(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unlearn.tracking.csv._write", full)
    asked = ("method=finetune", "seeds=3", "at_once=3", "logger=csv")
    result = unlearn(compose_job(*QUICK, *asked, home=tmp_path))
    assert result["ran"] == len(list(tmp_path.glob("runs/*/*/*/record.json"))) == 3
    assert caplog.text.count("No space left on device") == 1


def test_none_writes_nothing(tmp_path):
    unlearn(compose_job(*QUICK, "logger=none", home=tmp_path))
    assert not list(tmp_path.glob("runs/wandb")) and not list(tmp_path.glob("**/*.csv"))
