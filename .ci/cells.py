"""Runs the README's notebook cells on models of the digits: python .ci/cells.py README.md

The names that the cells take as given (`net`, `forget_data`, ...) are made here, with
scikit-learn and plain PyTorch.
"""

import re
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


def trained(data: TensorDataset, seed: int) -> nn.Module:
    """A small network after thirty steps on all of the data."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = data.tensors
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.eval()


def main(readme: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    forget, retain, test = (
        TensorDataset(x[part], y[part])
        for part in (slice(0, 100), slice(100, 1400), slice(1400, None))
    )
    names: dict = {
        "__name__": "cells",
        "net": trained(TensorDataset(x[:1400], y[:1400]), 0),
        "eight_nets": [trained(TensorDataset(x[:1400], y[:1400]), seed) for seed in range(1, 9)],
        "retrained_net": trained(retain, 100),
        "sixteen_nets": [trained(retain, 100 + seed) for seed in range(16)],
        "forget_data": forget,
        "retain_data": retain,
        "test_data": test,
    }
    cells = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    cells = [cell for cell in cells if "from unlearn.api import" in cell]
    assert cells, f"{readme} shows no notebook cell"
    for cell in cells:
        print(cell, flush=True)
        exec(compile(cell, str(readme), "exec"), names)
    assert isinstance(names["forgotten"], nn.Module)
    with torch.inference_mode():
        assert names["forgotten"](x[:2]).shape == (2, 10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
