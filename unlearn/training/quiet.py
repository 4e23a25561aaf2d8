"""Lightning's messages that a user of these programs can do nothing about, each by its source."""

import logging
import warnings

# Message and the module that emits it.
WARNINGS = (
    # One-shot methods train nothing: no optimizer is what they mean.
    (r"`LightningModule.configure_optimizers` returned `None`", "lightning.pytorch.core.optimizer"),
    # Frozen teachers, and phases that train with frozen batch-norm statistics.
    (r"Found \d+ module\(s\) in eval mode", "lightning.pytorch.loops.fit_loop"),
    # Between Lightning and torch.
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", "lightning.pytorch.utilities._pytree"),
    # A login node, and a sweep whose jobs srun does start.
    (
        r"The `srun` command is available on your system but is not used",
        "lightning.fabric.plugins.environments.slurm",
    ),
)
# Of the device, and of products; where a run computed is in its record.
TOLD = (
    *("GPU available:", "TPU available:", "HPU available:", "`Trainer", "💡 Tip:"),
    "\nDetected KeyboardInterrupt",  # the programs have a line of their own for that
)


def silence() -> None:
    """Drop these messages and nothing else; calling it again changes nothing."""
    for message, module in WARNINGS:
        warnings.filterwarnings("ignore", message=message, module=module.replace(".", r"\."))
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(TOLD)
