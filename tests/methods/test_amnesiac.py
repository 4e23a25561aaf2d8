"""Amnesiac unlearning: the wrong labels it draws."""

import pytest
import torch

from unlearn.methods.amnesiac import wrong_labels


def test_wrong_labels_are_uniform_over_what_is_allowed() -> None:
    labels = torch.full((6000,), 2)
    drawn = wrong_labels(labels, 5, (4,), torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=5).tolist()
    assert counts[2] == counts[4] == 0
    # Three classes, binomial(6000, 1/3) each: standard deviation 36.5; five of them.
    assert all(abs(counts[c] - 2000) < 183 for c in (0, 1, 3))


def test_wrong_labels_are_never_ones_own() -> None:
    labels = torch.arange(1000) % 10
    assert not (wrong_labels(labels, 10, (), torch.Generator().manual_seed(1)) == labels).any()


def test_wrong_labels_need_a_class_to_choose() -> None:
    with pytest.raises(ValueError, match="banned"):
        wrong_labels(torch.tensor([0]), 2, (1,), torch.Generator())
