"""From YAML to objects: the constructor's signature is the schema."""

import difflib
import inspect
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from unlearn.errors import UserError

# Keys that Hydra reads itself.
HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


def build(config: Mapping[str, Any], group: str, **extra: Any) -> Any:
    """Instantiate a config group after checking its keys and types against the signature.

    Args:
        config: a mapping with `_target_`.
        group: name of the group, for error messages.
        extra: arguments that do not come from YAML.

    Raises:
        UserError: a key that the target does not take, one that is missing, or a wrong type.
    """
    values = dict(config)
    target = values.get("_target_")
    if not isinstance(target, str):
        raise UserError(f"{group}: the config has no _target_, so nothing can be built from it")
    try:
        function = get_object(target)
    except Exception as error:
        raise UserError(f"{group}: cannot import {target!r}: {error}") from error
    check_arguments({str(k): v for k, v in values.items()}, function, group, extra)
    try:
        return instantiate(values, **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        raise


T = TypeVar("T")


def typed(values: Mapping[str, Any], kind: type[T], where: str = "") -> T:
    """A dataclass from a mapping of plain values; nested dataclasses from nested mappings.

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
            key: typed(value, hints[key], f"{where}.{key}".strip("."))
            if is_dataclass(hints[key])
            else value
            for key, value in values.items()
        }
    )


def check_arguments(
    values: Mapping[str, Any], function: Any, group: str, extra: Mapping[str, Any]
) -> None:
    """Compare YAML values with a signature; see `build`."""

    def dotted(key: str) -> str:
        return f"{group}.{key}" if group else key

    signature = inspect.signature(function)
    known = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    open_ended = len(known) < len(signature.parameters)
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    for key, value in values.items():
        if key in HYDRA_KEYS:
            continue
        if key not in known:
            if open_ended:
                continue
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise UserError(f"{dotted(key)}: {group or 'this program'} has no such setting; {hint}")
        if key in hints and not _fits(value, hints[key]):
            raise UserError(
                f"{dotted(key)} must be {_readable(hints[key])}, got {value!r} "
                f"({type(value).__name__})"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in values and name not in extra:
            raise UserError(f"{dotted(name)} is missing: give it as {dotted(name)}=...")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True  # built by Hydra; its own signature is checked by Python
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if is_dataclass(hint) or origin is dict:
        return isinstance(value, Mapping)
    if origin in (list, tuple):
        inner = [a for a in get_args(hint) if a is not Ellipsis]
        return isinstance(value, list | tuple) and all(
            any(_fits(v, a) for a in inner) for v in value
        )
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
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
    if get_origin(hint) in (list, tuple):
        inner = [option for option in get_args(hint) if option is not Ellipsis]
        return f"a list of which each is {' or '.join(map(_readable, inner))}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, str(hint))
