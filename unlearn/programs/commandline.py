"""Command-line details that must not import anything heavy."""

import os
import sys
from collections.abc import Callable

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from unlearn.programs.folders import shipped

# Hydra's options that take a value as the next argument.
WITH_VALUE = {
    "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--package", "-p", "--cfg", "-c", "--info", "-i", "--experimental-rerun",
}  # fmt: skip
INTERRUPTED = 130  # what shells call an end by Ctrl-C
# OpenMP threads that wait for each other spin. At the default they spin so long that one other busy
# process makes small networks thirty times slower; at this count five times, for a tenth on an idle
# machine.
SPINS = "10000"


def start(main: Callable[[], object]) -> None:
    """Run a program; Ctrl-C and mistakes in the configuration end it with one line."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported
    everything = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print over many lines
    overrides_last()
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        if everything or isinstance(error, InstantiationException):
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def in_one_line(error: Exception) -> str:
    """What Hydra says of a configuration, and how to mend it."""
    what = " ".join(str(error).split("\nTo append")[0].split("\nConfig search path")[0].split())
    if isinstance(error, MissingConfigException):
        group = str(error.missing_cfg_file).rpartition("/")[0]
        folder = shipped("conf") / group
        options = error.options or sorted(path.stem for path in folder.glob("*.yaml"))
        return f"no {error.missing_cfg_file}; {group} is one of {', '.join(options)}"
    if what.startswith("Could not override"):
        return f"{what.rstrip('.')}: there is no such key; --cfg job shows all of them"
    return what


def overrides_last() -> None:
    """Let overrides stand before and after options, as in `method=gisa -m seed=0,1,2`.

    Python's argparse takes positional arguments from one place only, so the overrides are moved
    behind the options.
    """
    options: list[str] = []
    overrides: list[str] = []
    for argument in sys.argv[1:]:
        is_value = bool(options) and options[-1] in WITH_VALUE
        if argument.startswith("-") or (is_value and "=" not in argument):
            options.append(argument)
        else:
            overrides.append(argument)
    sys.argv[1:] = options + overrides
