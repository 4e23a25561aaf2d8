"""Seconds from the command line to a composed configuration, and what importing costs.

python benchmarks/startup.py --json startup.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workloads import alternating, table, write

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import torch, torchvision, lightning": ["-c", "import torch, torchvision, lightning"],
    "import unlearn.api": ["-c", "import unlearn.api"],
    "import unlearn.programs.unlearn": ["-c", "import unlearn.programs.unlearn"],
    "unlearn.py --cfg job": ["unlearn.py", "--cfg", "job"],
    "unlearn.py --help": ["unlearn.py", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    calls = {
        name: partial(
            subprocess.run,
            [sys.executable, *arguments],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, arguments in COMMANDS.items()
    }
    timings = alternating(calls, options.repeats)
    rows = [
        {"command": name, "median s": timed["median"], "fastest s": timed["fastest"]}
        for name, timed in timings.items()
    ]
    table(rows)
    write(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
