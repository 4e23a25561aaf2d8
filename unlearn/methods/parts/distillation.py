"""Distillation: divergences between outputs, and teachers that stay as they are."""

import copy
from typing import Literal

import torch
from torch import Tensor, nn

Reduction = Literal["batch", "element"]


def soft_targets(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Teacher probabilities `(B, C)`: the softmax of logits divided by the temperature."""
    return (logits / temperature).softmax(-1)


def kl_divergence(
    student_logits: Tensor,
    teacher_probabilities: Tensor,
    temperature: float = 1.0,
    reduction: Reduction = "batch",
) -> Tensor:
    """KL(teacher || student) of softened outputs, in nats; 0 when they agree.

    Args:
        student_logits: `(B, C)`; divided by the temperature here.
        teacher_probabilities: `(B, C)`, rows sum to one, already softened: `soft_targets` of logits
            or a mixture of them.
        temperature: > 0.
        reduction: `batch`, sum over classes and mean over examples: the divergence; `element`,
            mean over classes too, as several official codes have it, smaller by a factor of C.
    """
    log_student = (student_logits / temperature).log_softmax(-1)
    terms = torch.special.xlogy(teacher_probabilities, teacher_probabilities)
    divergence = (terms - teacher_probabilities * log_student).sum(-1).mean()
    return divergence / student_logits.shape[-1] if reduction == "element" else divergence


def distillation_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over examples, in nats.

    The factor keeps the size of gradients when the temperature changes (Hinton et al., 2015, arXiv
    1503.02531).

    Args:
        student_logits: `(B, C)`.
        teacher_logits: `(B, C)`.
        temperature: > 0.
    """
    target = soft_targets(teacher_logits, temperature)
    return temperature**2 * kl_divergence(student_logits, target, temperature)


def frozen_copy(net: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode whose parameters ask for no gradient: a teacher."""
    return copy.deepcopy(net).eval().requires_grad_(False)
