"""Train the original or retrained models of a problem, one or a bank of them."""

import hydra
from omegaconf import DictConfig

from unlearn.programs.commandline import start


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.train import train

    return job.run(train, config)


if __name__ == "__main__":
    start(main)
