"""Two teachers for one batch: one for what stays, one for what goes."""

import torch
from torch import Tensor, nn

from unlearn.data.splits import Batch
from unlearn.methods.parts.distillation import soft_targets


@torch.no_grad()
def answers(
    batch: Batch, retain_teacher: nn.Module, forget_teacher: nn.Module, temperature: float
) -> Tensor:
    """Target probabilities `(B, C)`: of one teacher on retain examples, the other on forget ones.

    Both teachers see the whole batch, since choosing rows by flag would wait for the device.
    """
    good = soft_targets(retain_teacher(batch.x), temperature)
    bad = soft_targets(forget_teacher(batch.x), temperature)
    return torch.where(batch.is_forget[:, None], bad, good)
