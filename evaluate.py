"""Compare all runs of a problem: tables, pictures, intervals, noise floors."""

import hydra
from omegaconf import DictConfig

from unlearn.programs.commandline import start


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.evaluate import evaluate

    return job.run(evaluate, config)


if __name__ == "__main__":
    start(main)
