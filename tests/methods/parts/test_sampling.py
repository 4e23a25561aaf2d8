"""Random samples of a split, and seeds of fresh networks."""

import torch
from support.problems import images, linear

from unlearn.api import problem_from
from unlearn.methods.parts.sampling import fresh_seed, random_sample


def test_seeds_of_fresh_networks_are_none_a_person_would_type() -> None:
    seeds = [fresh_seed(torch.Generator().manual_seed(s)) for s in range(20)]
    assert len(set(seeds)) == 20 and min(seeds) >= 2**32


def test_random_sample_is_part_of_the_split_in_stored_order() -> None:
    problem = problem_from(linear(), images(9, 2, 3, seed=1), images(30, 2, 3, seed=2))
    split = problem.splits["retain"]
    sample = random_sample(split, 12.4, torch.Generator().manual_seed(0))
    assert len(sample) == 12 and sample.index.tolist() == sorted(sample.index.tolist())
    assert len(random_sample(split, 0.001, torch.Generator())) == 1
    assert len(random_sample(split, 99, torch.Generator())) == 30
