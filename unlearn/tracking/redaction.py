"""What of a configuration may be seen by others."""

import re
from collections.abc import Mapping
from typing import Any

SECRET = re.compile(r"api_?key|token|secret|password|credential", re.IGNORECASE)


ABSOLUTE = re.compile(r"(?<![\w.$}~/-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",\]\[{}]+[/\\])*")

# In running text a backslash is LaTeX, and a slash between words or in an address is no path.
IN_TEXT = re.compile(r"(?<![\w.$}~/-])(?:~|[A-Za-z]:)?/(?=[^\s/])(?:[^\s/'\"`,;()\]\[{}]+/)*")


def shareable_text(text: str) -> str:
    """A table or a sentence for other people's eyes: absolute paths keep their last part alone."""
    return IN_TEXT.sub("", text)


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
