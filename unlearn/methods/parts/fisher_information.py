"""The diagonal of the Fisher information, with the expectation over labels taken exactly."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from unlearn.data.splits import Batch


def fisher_diagonal(
    net: nn.Module, loader: Iterable[Batch], num_classes: int, *, memory_gb: float = 1.0
) -> dict[str, Tensor]:
    """Mean over examples of the squared gradients of every label's cross-entropy, weighted by p.

    F_j = mean_x sum_c p_c(x) (d CE(f(x), c) / d theta_j)^2. Gradients are per example and per
    class, computed for as many of both at once as the memory allows; the result does not depend on
    how they were grouped.

    Args:
        net: classifier in evaluation mode (batch norm would mix the examples otherwise).
        loader: batches; labels are not used.
        num_classes: outputs of the network.
        memory_gb: GB that the gradients of one group may take; a group is never less than one
            example and one class.

    Returns:
        Information by parameter name, of the parameter's shape, >= 0.
    """
    parameters = {n: p.detach() for n, p in net.named_parameters() if p.requires_grad}
    fixed = {n: p.detach() for n, p in net.named_parameters() if n not in parameters}
    fixed |= dict(net.named_buffers())
    size = sum(p.numel() * p.element_size() for p in parameters.values())
    group = max(1, int(memory_gb * 1e9 / size))
    classes_at_once = min(num_classes, group)
    examples_at_once = max(1, group // num_classes)

    def of_example(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        def log_probabilities(weights: dict[str, Tensor]) -> Tensor:
            return functional_call(net, (weights, fixed), (x[None],))[0].log_softmax(0)

        values, pull = vjp(log_probabilities, parameters)  # type: ignore[misc]
        (gradients,) = vmap(pull)(labels)
        p = labels @ values.exp()
        return {name: torch.tensordot(p, g.square(), 1) for name, g in gradients.items()}

    totals = {name: torch.zeros_like(p) for name, p in parameters.items()}
    examples = 0
    for batch in loader:
        examples += len(batch.x)
        labels = torch.eye(num_classes, dtype=next(net.parameters()).dtype, device=batch.x.device)
        for x in batch.x.split(examples_at_once):
            for some in labels.split(classes_at_once):
                with torch.no_grad():
                    squares = vmap(of_example, in_dims=(0, None))(x, some)
                for name, square in squares.items():
                    totals[name] += square.sum(0)
    return {name: total / examples for name, total in totals.items()}
