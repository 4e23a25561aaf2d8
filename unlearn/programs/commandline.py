"""Command-line details that must not import anything heavy."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from unlearn.errors import UserError
from unlearn.programs.folders import shipped
from unlearn.training.stopping import INTERRUPTED, TERMINATED, Terminated, deaf, listen

# OpenMP threads that wait for each other spin. At the default they spin so long that one other busy
# process makes small networks thirty times slower; at this count five times, for a tenth on an idle
# machine.
SPINS = "10000"
NULL_GROUP = "Config group override must be a string"  # Hydra's words for group=null
STUDIES = "multirun_sweeps"


def start(main: Callable[[], object]) -> None:
    """Run a program; Ctrl-C, SIGTERM and mistakes in the configuration end it with one line."""
    listen()
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported
    everything = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print over many lines
    overrides_last()
    help_from_config()
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        if everything or isinstance(error, InstantiationException):
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except ValueError as error:
        if everything or NULL_GROUP not in str(error):
            raise
        print("error: a group cannot be null; with ~group it is left out", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as end:
        deaf()
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        status = TERMINATED if isinstance(end, Terminated) else INTERRUPTED
        raise SystemExit(status) from None


def in_one_line(error: Exception) -> str:
    """What is wrong with a configuration, and how to mend it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):  # ours, raised while Hydra composed
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, MissingConfigException):
        return _what_there_is(error)
    what = " ".join(str(error).split("\nTo append")[0].split("\nConfig search path")[0].split())
    if what.startswith("Could not override"):
        return f"{what.rstrip('.')}: there is no such key; --cfg job shows all of them"
    return what


def _what_there_is(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file)
    group = missing.rpartition("/")[0]
    if group:
        return f"no {missing}; {group} is one of {', '.join(error.options or ['nothing'])}"
    folders = [Path(folder) for folder in re.findall(r"path=file://(.*)", str(error))]
    found = {file.stem for folder in folders for file in folder.glob("*.yaml")} - {"common"}
    text = f"no {missing}.yaml; --config-name is one of {', '.join(sorted(found))}"
    studies = {file.stem for file in shipped(STUDIES).glob("*.yaml")} - found
    if studies:
        text += f"; or, with --config-dir {STUDIES}, of {', '.join(sorted(studies))}"
    return text


def overrides_last() -> None:
    """Let overrides stand before and after options, as in `method=gisa -m seed=0,1,2`.

    Python's argparse takes positional arguments from one place only, so the overrides are moved
    behind the options.
    """
    takes_value = {
        word: action
        for action in get_args_parser()._actions
        for word in action.option_strings
        if action.nargs != 0
    }
    options: list[str] = []
    overrides: list[str] = []
    option = None
    for argument in sys.argv[1:]:
        is_value = option is not None and (
            option.nargs is None or argument in (option.choices or ())
        )
        option = None if is_value else takes_value.get(argument)
        (options if is_value or argument.startswith("-") else overrides).append(argument)
    sys.argv[1:] = options + overrides


def help_from_config() -> None:
    """Let `--help` show the text of the config.

    Hydra's own way to it lists all groups twice besides, folder by folder, for a second. What else
    stands on the command line, mistakes too, has no say in the text.
    """
    asked, _ = get_args_parser().parse_known_args()
    if asked.help:
        where = {"--config-path": asked.config_path, "--config-dir": asked.config_dir}
        where |= {"--config-name": asked.config_name, "--package": "hydra.help.template"}
        kept = [word for option, value in where.items() if value for word in (option, value)]
        sys.argv[1:] = ["--cfg", "all", *kept]
