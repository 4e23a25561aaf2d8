"""Jobs as the programs would get them."""

from pathlib import Path

from hydra import compose, initialize_config_dir

from unlearn.programs.job import Job

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
REFERENCE = ROOT / "tests" / "reference"
# Logits published by others: not part of this repository, their tests run where they are at hand.
PUBLISHED_LOGITS = ROOT.parent / "shared" / "golden" / "cifar10_logits.npz"


def options(group: str) -> list[str]:
    """Names of all files of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def compose_job(*overrides: str, program: str = "unlearn", home: Path | None = None) -> Job:
    """A job as the program would get it; its folders lie below `home`."""
    places = []
    if home is not None:
        names = ("data", "store", "runs", "report")
        places = [f"paths.{name}={home / name}" for name in names]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(program, [*overrides, *places], return_hydra_config=True)
    return Job.composed(config, config.hydra)
