"""Kill a whole sweep at random moments, start it again, compare with an undisturbed one.

    python benchmarks/kill_sweep.py [--kills 10] [--seed 0] [--folder FOLDER] [overrides ...]

The study is every method on the digits with three seeds. After the last restart every record must
be there, complete, and equal in all metrics but costs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [
    sys.executable,
    str(ROOT / "unlearn.py"),
    "--config-dir",
    str(ROOT / "multirun_sweeps"),
    "--config-name",
    "digits_all_methods",
    "trainer=cpu",
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options, overrides = parser.parse_known_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kill-sweep-"))
    calm, shaken = folder / "calm", folder / "shaken"
    for place in (calm, shaken):
        place.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, *overrides]
    begin = time.perf_counter()
    subprocess.run(command, cwd=calm, check=True, capture_output=True)
    seconds = time.perf_counter() - begin
    wanted = records(calm)
    print(f"undisturbed: {len(wanted)} records in {seconds:.0f} s", flush=True)

    moments = random.Random(options.seed)
    for number in range(1, options.kills + 1):
        victim = subprocess.Popen(
            command,
            cwd=shaken,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Of the start as well as of the work; a restart has less and less to do.
        wait = moments.uniform(1.0, max(8.0, 2 * seconds / options.kills))
        time.sleep(wait)
        ended = victim.poll() is not None
        if not ended:
            os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        word = "had ended by itself" if ended else "killed"
        print(f"{number}: {word} after {wait:.1f} s, {len(records(shaken))} records", flush=True)
    last = subprocess.run(command, cwd=shaken, capture_output=True, text=True, check=False)
    print(last.stderr.strip().splitlines()[-1] if last.stderr else "")
    found = records(shaken)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    # The service of wandb writes its own files; of ours, nothing may lie beside the results.
    left = [p for p in shaken.glob("runs/*-*/*/.*") if p.is_dir()]
    left += [p for p in shaken.glob("store/*/.*") if p.is_dir()]
    print(
        f"exit status {last.returncode}; {len(found)} of {len(wanted)} records, "
        f"{len(differing)} differ, {len(left)} folders left over"
    )
    raise SystemExit(bool(last.returncode or differing or len(found) != len(wanted) or left))


def records(home: Path) -> dict[str, dict[str, float]]:
    """Metrics without costs, by the run's folder."""
    found = {}
    for file in sorted(home.glob("runs/*/*/*/record.json")):
        try:
            values = json.loads(file.read_text())["metrics"]
        except (OSError, ValueError):
            continue
        name = str(file.parent.relative_to(home))
        if not any(part.startswith(".") for part in Path(name).parts):
            found[name] = {k: v for k, v in values.items() if not k.startswith("cost/")}
    return found


if __name__ == "__main__":
    main()
