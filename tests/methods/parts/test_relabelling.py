"""Random labels and noisy targets."""

import pytest
import torch

from unlearn.methods.parts.relabelling import noisy_targets, random_labels


def test_random_labels_keep_the_own_label_once_in_c() -> None:
    own = torch.randint(10, (100_000,), generator=torch.Generator().manual_seed(1))
    drawn = random_labels(100_000, 10, torch.Generator().manual_seed(2))
    assert float((own == drawn).float().mean()) == pytest.approx(0.1, abs=0.004)
    assert drawn.bincount(minlength=10).min() > 9_500


def test_noise_on_real_targets_has_the_standard_deviation_asked_for() -> None:
    targets = torch.full((100_000,), 40.0)
    noisy = noisy_targets(targets, 17.0, torch.Generator().manual_seed(0))
    assert float(noisy.mean()) == pytest.approx(40, abs=0.2)
    assert float(noisy.std()) == pytest.approx(17, abs=0.2)
