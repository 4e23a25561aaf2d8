"""What a sweep costs beyond its jobs' own work: every method on the digits, three seeds each.

    python benchmarks/sweep_overhead.py [--folder FOLDER] [overrides ...]

A job's own work is the method (`costs.seconds` of its record), the predictions of the unlearned
model, and the evaluations. Everything else is overhead: composing the config, copying models,
writing records, wandb. The first start includes training the two reference models and all imports,
which are reported apart. The second start finds everything done.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDY = ["--config-dir", str(ROOT / "multirun_sweeps"), "--config-name", "digits_all_methods"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options, overrides = parser.parse_known_args()
    if options.inside:
        inside(overrides)
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="sweep-overhead-"))
    folder.mkdir(parents=True, exist_ok=True)
    for start in ("first", "second"):
        begin = time.perf_counter()
        command = [sys.executable, __file__, "--inside", *overrides]
        environment = {**os.environ, "SWEEP_OVERHEAD": str(folder / "timings.json")}
        subprocess.run(command, cwd=folder, env=environment, check=True)
        total = time.perf_counter() - begin
        timings = json.loads((folder / "timings.json").read_text())
        jobs, work = timings["jobs"], timings["work"]
        text = f"{start} start: {total:.1f} s for {jobs} jobs"
        if start == "first":
            seconds = timings["in_jobs"] - timings["references"] - work
            text += f", {work:.1f} s of them the jobs' own work, "
            text += f"{timings['references']:.1f} s reference models, "
            text += f"{total - timings['in_jobs']:.1f} s start and composing; "
            text += f"overhead inside a job {seconds / jobs:.3f} s"
            between = (total - timings["references"] - work - timings["before"]) / jobs
            text += f", with composing and Hydra {between:.3f} s"
        print(text, flush=True)


def inside(overrides: list[str]) -> None:
    """Run the study in this process with a clock around the parts of its jobs."""
    begin = time.perf_counter()
    sys.path.insert(0, str(ROOT))
    from unlearn.comparison.yardstick import Yardstick
    from unlearn.programs import job as program
    from unlearn.programs import unlearn as runner

    clock = {"work": 0.0, "references": 0.0, "in_jobs": 0.0, "jobs": 0, "before": 0.0}

    def timed(name: str, function):
        def wrapped(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                clock[name] += time.perf_counter() - start

        return wrapped

    def job(function):
        def wrapped(*args, **kwargs):
            if not clock["jobs"]:
                clock["before"] = time.perf_counter() - begin
            clock["jobs"] += 1
            return function(*args, **kwargs)

        return timed("in_jobs", wrapped)

    write = runner.write_record

    def write_record(folder, document, *rest):
        clock["work"] += document["costs"]["seconds"]
        return write(folder, document, *rest)

    runner.write_record = write_record
    runner.collect = timed("work", runner.collect)
    Yardstick.measure = timed("work", Yardstick.measure)  # type: ignore[method-assign]
    runner._resolve_references = timed("references", runner._resolve_references)
    program.run = job(program.run)
    sys.argv = [str(ROOT / "unlearn.py"), *STUDY, *overrides]
    import runpy

    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        Path(os.environ["SWEEP_OVERHEAD"]).write_text(json.dumps(clock))


if __name__ == "__main__":
    main()
