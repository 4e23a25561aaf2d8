"""The package's shape: rooms, and no room that is too large."""

import ast

import pytest
from support.compose import ROOT

PACKAGE = ROOT / "unlearn"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES = 300


def test_modules_beside_the_folders():
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "api.py",
        "errors.py",
        "problem.py",
    }


def test_init_files_are_empty():
    """`unlearn/__init__.py` above all: the script `unlearn.py` has the package's name."""
    assert not [str(path) for path in PACKAGE.rglob("__init__.py") if path.read_text()]
    assert not list(PACKAGE.rglob("__main__.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES, "which two things is it?"
    assert not text or ast.get_docstring(ast.parse(text))
