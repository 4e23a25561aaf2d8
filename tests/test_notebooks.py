"""The notebooks run from top to bottom, and show what they were committed with."""

import os

import nbformat
import pytest
from nbclient import NotebookClient
from support.compose import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_its_outputs_are_committed(path, tmp_path):
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    client = NotebookClient(
        fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})  # not everybody has it installed
    pairs = list(zip(committed.cells, fresh.cells, strict=True))
    code = [(old, new) for old, new in pairs if old.cell_type == "code"]
    assert code and all(old.execution_count for old, _ in code), "commit it with its outputs"
    for old, new in code:
        assert [o.output_type for o in old.outputs] == [o.output_type for o in new.outputs]
        kinds = [sorted(o.get("data", {})) for o in old.outputs]
        assert kinds == [sorted(o.get("data", {})) for o in new.outputs]
    assert not list(tmp_path.iterdir()), "a notebook leaves no files behind"
