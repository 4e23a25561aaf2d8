"""Unlearn a forget set with a method, and compare with retraining."""

import hydra
from omegaconf import DictConfig

from unlearn.programs.commandline import start


@hydra.main(version_base="1.3", config_path="conf", config_name="unlearn")
def main(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.unlearn import unlearn

    return job.run(unlearn, config)


if __name__ == "__main__":
    start(main)
