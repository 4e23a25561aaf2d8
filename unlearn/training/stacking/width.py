"""How many members of a bank share their steps.

The width of the stacks is a function of the model, the data and the kind of device, and of nothing
that changes from start to start: neither of measured speed nor of free memory, and not of how many
members are still missing. Kernels may round otherwise in wider stacks, so only this gives a seed
the same bits in an undisturbed bank and in one that was killed and started again.
"""

import os
from dataclasses import dataclass

import torch

# Widest stacks by the floating-point operations of one member's step: (operations below, members).
# Measured on a CPU, seconds a member of small_cnn on the digits (0.03 G a step): alone 0.23, in
# stacks of 2, 5, 10 and 64 members 0.18, 0.11, 0.10 and 0.09; five, since ten retrained models,
# the default, then fill two processors. A small vision transformer (1.5 G) gains nothing. For
# accelerators, where small kernels wait for their launch, the numbers are estimates.
WIDTHS = {"cpu": ((2.5e8, 5),), "cuda": ((5e9, 32), (5e10, 8))}
# Share of the device's whole memory that a stack may take.
MEMORY_SHARE = 0.25
UNKNOWN_MEMORY = 8e9


@dataclass(frozen=True)
class Effort:
    """What a run of one member takes, from a rehearsal.

    Attributes:
        operations: floating-point operations of the whole run.
        step_operations: of its largest step.
        step_bytes: memory one member needs in that step: what the backward pass keeps, gradients,
            optimizer, copies.
    """

    operations: int
    step_operations: int
    step_bytes: float


def stack_width(effort: Effort, device: torch.device) -> int:
    """Members of a stack; 1 where stacking does not pay, or where nothing is trained."""
    fitting = int(MEMORY_SHARE * device_memory(device) / max(effort.step_bytes, 1.0))
    for operations, width in WIDTHS.get(device.type, ()):
        if 0 < effort.step_operations < operations:
            return max(1, min(width, fitting))
    return 1


def device_memory(device: torch.device) -> float:
    """Bytes that the device has, free or not."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows
        return UNKNOWN_MEMORY
