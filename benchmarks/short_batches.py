"""Does a retrained model depend on how many examples are left over after the last full batch?

    python benchmarks/short_batches.py IMAGES [--seeds 8] [--json FILE] [overrides ...]

IMAGES is an image folder with 1,000 training images. Batches of 64 for 12 epochs; only the number
of forgotten images varies, so the last batch of an epoch would have 0, 1, 4 or 44 images.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import environment
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, BATCH, EPOCHS = 1000, 64, 12
# Retain sizes that leave a last batch of 0, 1, 4 and 44 images.
RETAIN = (896, 897, 900, 940)
# The retain size that divides evenly, and how far the others may be from it.
WHOLE, BAR = 896, 0.02


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options, overrides = parser.parse_known_args()
    rows = {}
    print(
        f"{'retain':>6} {'left over':>9} {'test accuracy':>14} {'std':>6} {'to 896':>7}", flush=True
    )
    for retain in RETAIN:
        with tempfile.TemporaryDirectory() as folder:
            found = accuracies(options.images.resolve(), retain, options.seeds, folder, overrides)
        mean, spread = statistics.mean(found), statistics.stdev(found)
        rows[retain] = {"left_over": retain % BATCH, "test": found, "mean": mean, "std": spread}
        gap = mean - rows[WHOLE]["mean"]
        print(
            f"{retain:>6} {retain % BATCH:>9} {mean:>13.2%} {spread:>7.2%} {gap:>+7.2%}", flush=True
        )
    worst = max(abs(row["mean"] - rows[WHOLE]["mean"]) for row in rows.values())
    print(f"largest gap {worst:.2%}, bar {BAR:.0%}: {'passes' if worst <= BAR else 'fails'}")
    if options.json:
        document = {"environment": environment(), "overrides": overrides, "rows": rows}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def accuracies(
    images: Path, retain: int, seeds: int, folder: str, overrides: list[str]
) -> list[float]:
    """Test accuracies of retrained models, trained from an empty store."""
    command = [
        sys.executable, str(ROOT / "train.py"), "dataset=image_folder", f"dataset.root={images}",
        "forget.fraction=null", f"forget.count={EXAMPLES - retain}", f"recipe.epochs={EPOCHS}",
        f"recipe.batch_size={BATCH}", f"seeds={seeds}", *overrides,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    outputs = sorted(Path(folder).glob("store/outputs/*/*.safetensors"))
    if len(outputs) != seeds:
        raise SystemExit(f"{len(outputs)} models' outputs in the store, and {seeds} were asked for")
    found = []
    for file in outputs:
        tensors = load_file(file)
        correct = tensors["test/logits"].argmax(1) == tensors["test/targets"]
        found.append(float(correct.float().mean()))
    return found


if __name__ == "__main__":
    main()
