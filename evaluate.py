"""Compare all runs of a problem: tables, pictures, intervals, noise floors."""

import hydra
from omegaconf import DictConfig

from unlearn.commandline import start


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> dict:
    from unlearn import comparison, program

    return program.run(comparison.evaluate, config)


if __name__ == "__main__":
    start(main)
