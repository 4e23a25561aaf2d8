"""Every file of conf/tuned is found by the problems it names; one file applies to a problem."""

from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from support.compose import CONF, compose_job, options
from support.programs import start

from unlearn.programs.building import build
from unlearn.programs.unlearn import unlearn
from unlearn.storage.records import read_record

FILES = sorted(str(file.relative_to(CONF / "tuned")) for file in CONF.glob("tuned/*/*.yaml"))


def content(file: str) -> dict:
    return yaml.safe_load((CONF / "tuned" / file).read_text())


def stated_by(problem: str) -> list[tuple[str, ...]]:
    """Overrides that state a problem of this name, in every way that there is."""
    short = list(product(options("dataset"), options("model")))
    long = list(product(options("dataset"), options("model"), options("forget")))
    fits = [names for names in [*short, *long] if "_".join(names) == problem]
    groups = ("dataset", "model", "forget")
    return [tuple(f"{g}={name}" for g, name in zip(groups, names)) for names in fits]  # noqa: B905


@pytest.mark.parametrize("file", FILES)
def test_every_problem_of_a_file_gets_its_values(file):
    method, stem = file.removesuffix(".yaml").split("/")
    told = content(file)
    assert method in options("method")
    assert stem in told["tuned"]["problems"], "a file is called as one of its problems"
    assert set(told) - {"augment"} == {"tuned", "method"} and told["method"]
    for problem in told["tuned"]["problems"]:
        fits = stated_by(problem)
        assert len(fits) == 1, f"{problem} is {fits}"
        job = compose_job(f"method={method}", *fits[0])
        assert job.values["tuned"] == told["tuned"]
        assert {key: job.values["method"][key] for key in told["method"]} == told["method"]
        build(job.values["method"], "method")


@pytest.mark.parametrize("method", sorted({file.split("/")[0] for file in FILES}))
def test_files_of_a_method_differ_and_share_no_problem(method):
    files = [content(file) for file in FILES if file.startswith(f"{method}/")]
    named = Counter(problem for file in files for problem in file["tuned"]["problems"])
    assert not [problem for problem, count in named.items() if count > 1]
    values = [file["method"] for file in files]
    assert not [value for value in values if values.count(value) > 1], "merge equal files"


def test_a_file_for_the_forget_set_goes_before_one_for_all():
    vgg = ("dataset=cifar20", "model=vgg11_head", "method=jit")
    default = compose_job(*vgg).values["method"]
    whole = compose_job(*vgg, "forget=cifar20_vehicles_2").values["method"]
    assert (default["sigma"], default["batch_size"]) == (0.01, 64)
    assert (whole["sigma"], whole["batch_size"]) == (0.5, 128)


def test_the_authors_values_where_no_file_applies_or_none_is_wanted():
    authors = OmegaConf.to_container(OmegaConf.load(CONF / "method" / "ssd.yaml"))
    chosen = compose_job("method=ssd")
    assert chosen.values["method"] != authors
    for words in (("~tuned",), ("dataset=agedb_classes",)):
        job = compose_job("method=ssd", *words)
        assert job.values["method"] == authors
        assert job.values["tuned"] == {"source": "authors", "problems": []}


def test_the_command_line_has_the_last_word():
    values = compose_job("method=ssd", "method.alpha=7").values["method"]
    assert values["alpha"] == 7


def test_the_record_says_where_the_values_come_from(home):
    quick = ("recipe.epochs=1", "trainer=cpu", "logger=none", "eval=accuracy", "table=false")
    for words, source in ((("method=ssd",), "chosen on digits"), (("method=original",), "authors")):
        [folder] = unlearn(compose_job(*words, *quick, home=home))["folders"]
        record = read_record(Path(folder))
        assert record is not None
        assert record.document["config"]["tuned"]["source"].startswith(source)


def folder_with(home: Path, name: str, problem: str) -> tuple[str, ...]:
    """Options for a folder of one's own with values of SSD."""
    file = home / "own" / "tuned" / "ssd" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "# @package _global_\n"
        f"tuned: {{problems: [{problem}], source: mine}}\n"
        "method: {alpha: 6.5}\n"
    )
    return ("method=ssd", "--cfg", "job", "--config-dir", str(home / "own"))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("digits_resnet18", ("model=resnet18",)),  # found by the problem it names
        ("digits_small_cnn_class", ("tuned=ssd/mine",)),  # chosen by its name
    ],
)
def test_a_folder_of_ones_own_adds_files(problem, words, tmp_path):
    own = folder_with(tmp_path, "mine", problem)
    result = start("unlearn", *own, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    config = yaml.safe_load(result.stdout)
    assert config["method"]["alpha"] == 6.5
    assert config["tuned"]["source"] == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine", ("digits_small_cnn and mine both name", "tuned=ssd/")),
        ("digits_small_cnn", ("tuned/ssd/digits_small_cnn.yaml is in two folders", "tuned=ssd/")),
    ],
)
def test_values_that_are_given_twice_are_one_clear_line(name, said, tmp_path):
    own = folder_with(tmp_path, name, "digits_small_cnn")
    result = start("unlearn", *own, cwd=tmp_path)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert all(word in line for word in said)
