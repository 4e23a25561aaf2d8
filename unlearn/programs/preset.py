"""The preset of a job as it is without anything the user added, and what it says was published."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from omegaconf import OmegaConf

from unlearn.comparison.published import ORIGINAL, RETRAINED, Preset, Published, differences
from unlearn.errors import UserError
from unlearn.programs.folders import shipped
from unlearn.programs.job import Job
from unlearn.programs.method_choice import method_values
from unlearn.programs.options import Common

GROUPS = ("dataset", "model", "forget", "recipe")  # what states a problem
PLACES = ("dataset.root", "dataset.cache")  # where files lie, which is no part of it
GIVEN = ("original_file", "retrained_files")  # models that were trained elsewhere


def preset_of(job: Job, options: Common, method: str | None = None) -> Preset | None:
    """What a job's preset says was published, and how the job differs from the preset.

    The preset is composed anew, with nothing of the job but its paths.

    Args:
        job: what a program was asked for.
        options: the same, typed.
        method: the only one that will be compared, None = all of which a value was published.

    Returns:
        None where the job has no published values.

    Raises:
        UserError: a published value of a quantity or method that there is not.
    """
    published = options.published
    if published is None:
        return None
    name = job.choices.get("experiment", "None")
    if name == "None":
        raise UserError(
            "published belongs in a file of conf/experiment; choose it: experiment=NAME"
        )
    evaluations = sorted({row.quantity.split("/")[0] for row in published.rows})
    of = list(dict.fromkeys(row.method for row in published.rows if row.method))
    with _hydra():
        _check_names("method", of, job)
        _check_names("eval", evaluations, job)
        first = method or next(iter(of), ORIGINAL)
        plain = _composed(job, name, first, evaluations)
        _check_quantities(published, plain)
        differs = _differences(job, plain)
        methods = [m for m in of if m not in (ORIGINAL, RETRAINED) and method in (None, m)]
        composed = {
            m: plain if m == first else _composed(job, name, m, evaluations)
            for m in methods
            if not differs
        }
    return Preset(
        name,
        published,
        differs,
        {
            m: method_values(preset.values["method"], preset.values["augment"])
            for m, preset in composed.items()
        },
        job.values["eval"],
        plain.values["eval"],
    )


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra as the program started it, else as it starts in a checkout."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        yield


def _composed(job: Job, name: str, method: str, evaluations: Sequence[str]) -> Job:
    words = [f"experiment={name}", f"method={method}", *_folders(job)]
    words += [f"eval=[{','.join(evaluations)}]"] if evaluations else []
    config = compose("unlearn", words, return_hydra_config=True)
    OmegaConf.update(config, "paths", job.values["paths"])
    return Job.composed(config, config.hydra)


def _folders(job: Job) -> list[str]:
    """Configs of one's own, where Hydra does not know of them any more."""
    known = {source.path for source in GlobalHydra.instance().config_loader().get_sources()}
    lost = [f"file://{folder}" for folder in job.config_folders if folder not in known]
    return [f"hydra.searchpath=[{','.join(lost)}]"] if lost else []


def _check_names(group: str, names: Sequence[str], job: Job) -> None:
    loader = GlobalHydra.instance().config_loader()
    known = loader.get_group_options(group, config_name="unlearn", overrides=_folders(job))
    for name in names:
        if name not in known:
            raise UserError(f"published.rows: there is no {group} {name!r}; {_hint(name, known)}")


def _check_quantities(published: Published, plain: Job) -> None:
    for row in published.rows:
        name, _, quantity = row.quantity.partition("/")
        config = plain.values["eval"].get(name)
        if config is None:
            raise UserError(
                f"published.rows: {row.quantity!r} is of no evaluation: {name} is a set of several"
            )
        known = list(get_object(config["_target_"]).quantities)
        if quantity not in known:
            raise UserError(
                f"published.rows: {name} measures no {quantity!r}; {_hint(quantity, known)}"
            )
        unknown = [key for key in row.settings if key not in config]
        if unknown:
            raise UserError(
                f"published.rows: {row.quantity}: {name} has no setting {unknown[0]!r}; "
                f"{_hint(unknown[0], [key for key in config if not key.startswith('_')])}"
            )


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"


def _differences(job: Job, plain: Job) -> list[str]:
    found: list[str] = []
    for group in GROUPS:
        values = differences(job.values[group], plain.values[group], group, PLACES)
        if values and job.choices[group] != plain.choices[group]:
            values = [f"{group} is {job.choices[group]}, the preset's {plain.choices[group]}"]
        found += values
    mine, theirs = (
        {key: stated.values["references"][key] for key in GIVEN} for stated in (job, plain)
    )
    found += differences(mine, theirs, "references")
    # What is kept of the retain set decides its accuracy.
    found += differences(job.values["outputs"], plain.values["outputs"], "outputs")
    if job.values["published"] != plain.values["published"]:
        found.append("published is not what the preset says")
    one = plain.values["published"].get("starts") == "one"
    if one and job.values.get("original_seed") == "seed":
        found.append("every run starts from an original of its own, those of the study from one")
    if job.values.get("control"):
        found.append("control is true, the preset's false")
    return found
