"""Nearest neighbours, and samples that prefer them."""

import pytest
import torch

from unlearn.methods.parts.similarity import nearest, similarity_sample


def test_nearest_counts_a_hand_made_example_in_any_batching() -> None:
    """Directions in the plane, in degrees; two retain examples tie at 90."""
    forget, retain = (
        torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], 1)
        for degrees in (
            torch.tensor([0.0, 88.0], dtype=torch.float64),
            torch.tensor([90.0, 10.0, 180.0, 90.0, 20.0, 5.0], dtype=torch.float64),
        )
    )
    for size in (1, 2, 4, 6):
        chosen = nearest(forget, retain.split(size), k=3)
        assert chosen.tolist() == [[5, 1, 4], [0, 3, 4]]
    counts = chosen.flatten().bincount(minlength=6)
    assert counts.tolist() == [1, 1, 0, 1, 2, 1]
    assert nearest(forget, iter([retain[:2]]), k=3).shape == (2, 2)


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_ties_between_neighbours_go_by_position(size: int) -> None:
    forget, retain = torch.eye(2)[:1], torch.eye(2)[0].expand(1000, 2)
    assert nearest(forget, retain.split(size), k=4).tolist() == [[0, 1, 2, 3]]


def test_similarity_sample_takes_the_most_chosen_then_chance() -> None:
    counts = torch.tensor([1, 1, 0, 1, 2, 1, 0, 0, 0, 0])
    seen = torch.zeros(10)
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        positions, weights = similarity_sample(counts, 4, 0.5, generator)
        assert positions.tolist() == sorted(set(positions.tolist())) and len(positions) == 4
        assert {0, 4} <= set(positions.tolist())  # the ties of count 1 go by position
        raw = counts[positions].clamp_min(1)
        torch.testing.assert_close(weights, raw / raw.float().mean())
        assert float(weights.mean()) == pytest.approx(1)
        seen[positions] += 1
    others = seen[[1, 2, 3, 5, 6, 7, 8, 9]] / 200  # each is drawn with probability 2 / 8
    assert (others - 0.25).abs().max() < 0.12
    # where fewer were chosen than the share asks for, chance fills up; never more than there are
    assert len(similarity_sample(counts, 10, 1.0, torch.Generator())[0]) == 10
    assert len(similarity_sample(counts, 99, 0.5, torch.Generator())[0]) == 10
