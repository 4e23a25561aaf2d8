"""Parameter importances: the diagonal of the empirical Fisher information."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unlearn.data.splits import Batch
from unlearn.data.task import Task


def batch_importances(net: nn.Module, task: Task, loader: Iterable[Batch]) -> dict[str, Tensor]:
    """Mean over batches of the squared gradient of the batch-mean criterion.

    This is what the authors of SSD compute (the gradient of the batch mean is squared, not that of
    each example), so values depend on the batch size: compare importances of equal batch sizes.

    Args:
        net: network, in the mode it should be measured in.
        task: gives the criterion.
        loader: batches.

    Returns:
        Non-negative importance by parameter name, of the parameter's shape.
    """
    names, parameters = zip(
        *((name, p) for name, p in net.named_parameters() if p.requires_grad), strict=True
    )
    totals = [torch.zeros_like(p) for p in parameters]
    batches = 0
    for batch in loader:
        loss = task.criterion(net(batch.x), batch.y)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        used = [(t, g) for t, g in zip(totals, gradients, strict=True) if g is not None]
        squared = [gradient for _, gradient in used]
        torch._foreach_addcmul_([total for total, _ in used], squared, squared)
        batches += 1
    torch._foreach_div_(totals, batches)
    return dict(zip(names, totals, strict=True))
