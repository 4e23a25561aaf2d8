"""Runs have the values that studies published: experiments, studies of multirun_sweeps, problems.

`tests/reference/published_values.yaml` is the table; nothing is trained, configs are composed.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from support.compose import CONF, REFERENCE, ROOT, compose_job, options

SWEEPS = ROOT / "multirun_sweeps"
PROBLEM = ("dataset", "model", "forget", "recipe")
ALWAYS = "original"  # a method without values, for rows of the problem
TABLE = yaml.safe_load((REFERENCE / "published_values.yaml").read_text())
ROWS = TABLE["rows"]


def chosen(text: str, names: list[str]) -> list[str]:
    """Options of a sweep's parameter."""
    if not text.startswith("glob("):
        return text.split(",")
    left_out = text.partition("exclude=")[2].rstrip(")")
    return [name for name in names if name != left_out]


@cache
def studies() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Words and methods of every study, one for each of its forget sets."""
    found = {}
    for path in sorted(SWEEPS.glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        assert set(content) == {"defaults", "hydra"}, f"{path.name} sets values of its own"
        pairs = [pair for pair in content["defaults"] if isinstance(pair, dict)]
        words = [f"{key.split()[1]}={value}" for pair in pairs for key, value in pair.items()]
        params = content["hydra"]["sweeper"]["params"]
        methods = tuple(chosen(params.get("method", "gisa"), options("method")))
        for forget in params.get("forget", "").split(","):
            more = [f"forget={forget}"] if forget else []
            name = " ".join([f"multirun_sweeps/{path.stem}", *more])
            found[name] = (" ".join([*words, *more]), methods)
    return found


def words_of(run: str) -> list[str]:
    """What one types for a run of the table."""
    return (studies()[run][0] if run.startswith("multirun_sweeps/") else run).split()


@cache
def resolved(run: str, method: str) -> dict[str, Any]:
    """Values of a run by dotted key."""
    values = compose_job(*words_of(run), f"method={method}").values
    flat = {"augment": values["augment"]}
    for group in (*PROBLEM, "method"):
        flat.update(by_key(values[group], group))
    return flat


def by_key(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """A config's values; what has a `_target_` is its name."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield key, value["_target_"].rpartition(".")[2]
        for name, inner in value.items():
            if not name.startswith("_"):
                yield from by_key(inner, f"{key}.{name}")
    elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        names = [v["_target_"].rpartition(".")[2] for v in value]
        yield key, names
        for name, inner in zip(names, value, strict=True):
            for dotted, part in by_key(inner, f"{key}.{name}"):
                if dotted != f"{key}.{name}":
                    yield dotted, part
    else:
        yield key, value


def runs_of(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(run, method) for row in rows for run in row["runs"] for method in methods_of(row)]


def methods_of(row: dict[str, Any]) -> list[str]:
    return row.get("methods", [ALWAYS])


def mistakes(row: dict[str, Any], values: Mapping[str, Any]) -> list[str]:
    """How a run's values are not those of its row."""
    found = []
    for key, published in row["values"].items():
        deliberate = row.get("differs", {}).get(key)
        if key not in values:
            found.append(f"{key} is no key of the run")
        elif deliberate is None and values[key] != published:
            found.append(f"{key} is {values[key]}, published is {published} ({row['source']})")
        elif deliberate is not None and values[key] != deliberate["ours"]:
            found.append(f"{key} is {values[key]}, and was to differ as {deliberate['ours']}")
    return found


IDS = [f"{i}: {row['source']}" for i, row in enumerate(ROWS)]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_runs_have_the_published_values(row):
    for run in row["runs"]:
        for method in methods_of(row):
            assert not mistakes(row, resolved(run, method)), f"{run} method={method}"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_rows_are_complete(row):
    assert set(row) <= {"runs", "methods", "source", "values", "differs", "no_run"}
    assert row["values"] and row["source"].strip()
    assert bool(row["runs"]) != bool(row.get("no_run", "")), "no run uses it: say why"
    for key, said in row.get("differs", {}).items():
        assert row["values"][key] != said["ours"], f"{key} does not differ"
        assert said["why"].strip()
    if "methods" not in row:
        assert not [key for key in row["values"] if key.split(".")[0] not in PROBLEM]


def test_every_run_is_one_that_there_is():
    experiments = {f"experiment={name}" for name in options("experiment")}
    for row in [*ROWS, *TABLE["unpublished"]]:
        for run in row["runs"]:
            if run.startswith("multirun_sweeps/"):
                named = set(row.get("methods", ()))
                assert run in studies() and named <= set(studies()[run][1]), (run, named)
            elif run.startswith("experiment="):
                assert run in experiments


def test_every_experiment_and_study_is_in_the_table():
    there = set(runs_of(ROWS))
    for row in TABLE["unpublished"]:
        assert row["why"].strip()
        for run in row["runs"]:
            named = set(row.get("methods", studies()[run][1] if "methods" not in row else ()))
            clash = {m for m in named if (run, m) in there}
            assert not clash, f"{run} has published values of {clash}"
            there |= {(run, m) for m in {*named, *([] if "methods" in row else [ALWAYS])}}
    wanted = {(run, m) for run, (_, methods) in studies().items() for m in (*methods, ALWAYS)}
    for name in options("experiment"):
        content = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
        published = content.get("published", {}).get("rows", [])
        methods = {row["method"] for row in published} - {"retrain"}
        wanted |= {(f"experiment={name}", m) for m in {*methods, ALWAYS}}
    assert not sorted(wanted - there)


def test_every_setting_of_a_method_is_published_or_said_to_be_ours():
    stated: dict[tuple[str, str], set[str]] = {}
    for row in ROWS:
        for run in row["runs"]:
            for method in row.get("methods", ()):
                stated.setdefault((run, method), set()).update(row["values"])
    silent: dict[str, set[str]] = {}
    for (run, method), keys in stated.items():
        own = {key for key in resolved(run, method) if key.startswith("method.")}
        left = {key.removeprefix("method.") for key in own - keys}
        silent.setdefault(method, set()).update(left)
    assert {m: sorted(keys) for m, keys in silent.items() if keys} == TABLE["ours"]


def test_a_wrong_value_is_found():
    row = {"values": {"method.lr": 0.1, "method.epochs": 5}, "source": "s"}
    assert mistakes(row, {"method.lr": 0.1, "method.epochs": 5.0}) == []
    assert "method.lr is 0.2, published is 0.1 (s)" in mistakes(
        row, {"method.lr": 0.2, "method.epochs": 5}
    )
    assert mistakes(row, {"method.epochs": 5}) == ["method.lr is no key of the run"]
    said = {**row, "differs": {"method.lr": {"ours": 0.3, "why": "w"}}}
    assert mistakes(said, {"method.lr": 0.3, "method.epochs": 5}) == []
    assert mistakes(said, {"method.lr": 0.1, "method.epochs": 5}), "a difference that is gone"


def test_presets_quote_what_was_published():
    """The rows of `published:` are the studies' own tables, none more and none less."""
    results = yaml.safe_load((REFERENCE / "published_results.yaml").read_text())
    for preset, printed in results.items():
        config = yaml.safe_load((CONF / "experiment" / f"{preset}.yaml").read_text())
        ours = {(r["method"], r["quantity"]): r["value"] for r in config["published"]["rows"]}
        theirs = {(m, key): v for m, values in printed.items() for key, v in values.items()}
        assert set(ours) == set(theirs), preset
        for where, value in theirs.items():
            percent = where[1].startswith("accuracy") and value > 1
            assert ours[where] == pytest.approx(value / 100 if percent else value), (preset, where)
