"""What of a configuration may be seen by others."""

import re
from collections.abc import Mapping
from typing import Any

SECRET = re.compile(r"api_?key|token|secret|password|credential", re.IGNORECASE)


ABSOLUTE = re.compile(r"(?<![\w.$}~/-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",\]\[{}]+[/\\])*")


def shareable(value: Any) -> Any:
    """A config for other people's eyes: no secrets, no folders of this machine.

    Absolute paths lose their folders and keep their last part; values under keys such as `api_key`
    or `token` are hidden.
    """
    if isinstance(value, Mapping):
        return {
            str(key): "hidden" if SECRET.search(str(key)) and item else shareable(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [shareable(item) for item in value]
    if isinstance(value, str):
        if "=" in value and SECRET.search(value.split("=")[0]):
            return value.split("=")[0] + "=hidden"
        return ABSOLUTE.sub("", value)
    return value
