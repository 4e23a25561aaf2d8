"""Divergences between softened answers."""

import pytest
import torch
import torch.nn.functional as F

from unlearn.methods.parts.distillation import distillation_loss, kl_divergence, soft_targets


def test_divergence_is_torch_kl_div_and_its_element_mean() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 7, 5, dtype=torch.float64)
    target = soft_targets(teacher, 3.0)
    log_student = (student / 3).log_softmax(1)
    by_batch = F.kl_div(log_student, target, reduction="batchmean")
    by_element = F.kl_div(log_student, target, reduction="none").mean()
    torch.testing.assert_close(kl_divergence(student, target, 3.0), by_batch)
    torch.testing.assert_close(kl_divergence(student, target, 3.0, "element"), by_element)
    torch.testing.assert_close(distillation_loss(student, teacher, 3.0), 9 * by_batch)


def test_divergence_of_one_hot_targets_is_finite() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    value = kl_divergence(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    value.backward()
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, torch.tensor([0]))))
    assert torch.isfinite(logits.grad).all()
