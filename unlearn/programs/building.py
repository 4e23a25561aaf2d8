"""From YAML to objects: the constructor's signature is the schema."""

import collections.abc
import difflib
import inspect
import logging
import math
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from unlearn.errors import UserError

# What cannot be imported is said here, in one line; Hydra would say it over several before.
logging.getLogger("hydra.utils").addHandler(logging.NullHandler())

# Keys that Hydra reads itself.
HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
SEQUENCES = (list, tuple, collections.abc.Sequence)


# What constructors raise at values that they cannot work with.
WRONG_VALUE = (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError)

T = TypeVar("T")


def build(config: Mapping[str, Any], group: str, kind: type = object, **extra: Any) -> Any:
    """Instantiate a config group after checking its keys and types against the signature.

    Args:
        config: a mapping with `_target_`; such mappings inside it are checked and built too.
        group: name of the group, for error messages.
        kind: what must come out of it.
        extra: arguments that do not come from YAML.

    Raises:
        UserError: a key that the target does not take, one that is missing, a wrong type, a value
            that the target refuses, or something else than a `kind`.
    """
    check_parts(config, group, extra)
    try:
        built = instantiate(dict(config), **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, WRONG_VALUE) or cause is None:
            why = " ".join(str(cause or error).split("full_key")[0].split())
            raise UserError(f"{group}: {why}") from error
        raise
    if not isinstance(built, kind):
        raise UserError(
            f"{group} makes a {type(built).__name__} out of {config['_target_']!r}, where a "
            f"{kind.__name__} is needed: choose another {group}="
        )
    return built


def check_parts(config: Any, where: str, extra: Mapping[str, Any]) -> None:
    """Check a config that states an object, and all those inside it; see `build`."""
    if not isinstance(config, Mapping):
        raise UserError(f"{where} must be a mapping of settings, got {config!r}")
    target = config.get("_target_")
    if not isinstance(target, str):
        raise UserError(f"{where}: the config has no _target_, so nothing can be built from it")
    try:
        function = get_object(target)
    except Exception as error:
        why = " ".join(str(error).split())
        raise UserError(f"{where}: cannot import {target!r}: {why}") from error
    values = {str(key): value for key, value in config.items()}
    check_arguments(values, function, where, extra, partly=bool(config.get("_partial_")))
    for key, value in values.items():
        several = isinstance(value, list | tuple)
        for i, part in enumerate(value if several else [value]):
            if isinstance(part, Mapping) and "_target_" in part:
                check_parts(part, f"{where}.{key}" + (f"[{i}]" if several else ""), {})


def typed(values: Mapping[str, Any], kind: type[T], where: str = "") -> T:
    """A dataclass from a mapping of plain values; nested dataclasses from nested mappings, also in
    lists and where there may be none.

    Args:
        values: by field.
        kind: the dataclass; its types are the schema.
        where: key of the mapping in the config, for messages.

    Raises:
        UserError: a key that there is not, one that is missing, or a wrong type.
    """
    check_arguments(values, kind, where, {})
    hints = get_type_hints(kind)
    return kind(
        **{
            key: _nested(value, hints[key], f"{where}.{key}".strip("."))
            for key, value in values.items()
        }
    )


def _nested(value: Any, hint: Any, where: str) -> Any:
    """A value that fits its type, with dataclasses in place of mappings."""
    if isinstance(value, Mapping):
        [*kinds] = filter(is_dataclass, get_args(hint) or [hint])
        return typed(value, kinds[0], where) if kinds else value  # type: ignore[arg-type]
    if isinstance(value, list) and get_origin(hint) is list:
        [inner] = get_args(hint)
        return [_nested(v, inner, f"{where}[{i}]") for i, v in enumerate(value)]
    return value


def check_arguments(
    values: Mapping[str, Any],
    function: Any,
    group: str,
    extra: Mapping[str, Any],
    partly: bool = False,
) -> None:
    """Compare YAML values with a signature; see `build`.

    Args:
        values: by argument.
        function: with the signature.
        group: where the values stand, for messages.
        extra: arguments that do not come from YAML.
        partly: the positional arguments are given later.
    """

    def dotted(key: str) -> str:
        return f"{group}.{key}" if group else key

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise UserError(f"{group}: {function!r} cannot be built from settings") from None
    known = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    open_ended = len(known) < len(signature.parameters)
    foreign = [name for name in extra if name not in known and not open_ended]
    if foreign:
        raise UserError(
            f"{group}: {function.__name__} takes no {foreign[0]}, so it cannot stand here: choose "
            f"another {group}="
        )
    try:
        hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except Exception:  # other people's annotations may name what cannot be found
        hints = {}
    for key, value in values.items():
        if key in HYDRA_KEYS:
            continue
        if key not in known:
            if open_ended:
                continue
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise UserError(f"{dotted(key)}: {group or 'this program'} has no such setting; {hint}")
        if value == "???":
            raise UserError(f"{dotted(key)} is missing: give it as {dotted(key)}=...")
        if key in hints and not _fits(value, hints[key]):
            raise UserError(
                f"{dotted(key)} must be {_readable(hints[key])}, got {value!r} "
                f"({type(value).__name__})"
            )
    for name, parameter in known.items():
        if partly and parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.default is parameter.empty and name not in values and name not in extra:
            raise UserError(f"{dotted(name)} is missing: give it as {dotted(name)}=...")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if hint is Any or hint is object:
        return True
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # built by Hydra, and checked on its own
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if is_dataclass(hint) or origin is dict:
        return isinstance(value, Mapping)
    if origin is collections.abc.Callable:
        return False
    if origin in SEQUENCES:
        inner = [a for a in get_args(hint) if a is not Ellipsis]
        fixed = origin is tuple and Ellipsis not in get_args(hint)
        return (
            isinstance(value, list | tuple)
            and (not fixed or len(value) == len(inner))
            and all(any(_fits(v, a) for a in inner) for v in value)
        )
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        # No setting means "not a number", and every comparison with it is false.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not math.isnan(value)
    if isinstance(hint, type):
        return isinstance(value, Mapping) or hint in type(value).__mro__
    return True


def _readable(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_readable(option) for option in get_args(hint))
    if hint is type(None):
        return "null"
    if is_dataclass(hint) or get_origin(hint) is dict:
        return "a mapping of settings"
    if get_origin(hint) is collections.abc.Callable:
        return "settings with a _target_"
    if get_origin(hint) in SEQUENCES:
        inner = [option for option in get_args(hint) if option is not Ellipsis]
        return f"a list of which each is {' or '.join(map(_readable, inner))}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
