"""Networks as the programs build them."""

from support.compose import compose_job
from torch import nn

from unlearn.programs.building import build


def network(
    name: str, *overrides: str, side: int = 32, channels: int = 3, outputs: int = 7
) -> nn.Module:
    """A model file's network, for images of this side."""
    job = compose_job(f"model={name}", *overrides)
    shape = {"in_channels": channels, "image_size": side, "num_outputs": outputs}
    return build(job.values["model"], "model", **shape)
