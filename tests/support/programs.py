"""The programs as a user starts them: real processes."""

import subprocess
import sys
from pathlib import Path

from support.compose import ROOT


def start(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run a program in a folder."""
    command = [sys.executable, str(ROOT / f"{program}.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
