"""The README names everything that exists, and has exactly the two set-up commands."""

import re

import pytest
from support.compose import ROOT, options

TEXT = (ROOT / "README.md").read_text()


def test_two_setup_commands():
    commands = re.findall(r"^    (python3 -m venv .*)$", TEXT, re.MULTILINE)
    assert len(commands) == 2
    assert all(".venv/bin/" in command for command in commands)


@pytest.mark.parametrize("group", ["method", "eval", "dataset"])
def test_every_option_is_named(group):
    presets = {"standard", "full"}
    missing = [name for name in options(group) if name not in presets and f"`{name}`" not in TEXT]
    assert not missing, f"README.md does not name {missing}"


def test_the_method_of_the_readme_works(home, monkeypatch):
    """The two files shown as an example are complete."""
    python = re.search(r"```python\n(\"\"\"Shrink.*?)```", TEXT, re.DOTALL)
    assert python is not None
    module: dict = {"__name__": "shrink"}
    exec(compile(python.group(1), "shrink.py", "exec"), module)
    method = module["Shrink"](factor=0.5)
    assert method.requires == () and method.phases() == []
