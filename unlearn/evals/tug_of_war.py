"""Tug of War: closeness to retraining in three accuracies at once."""

import torch
from torch import Tensor

from unlearn.evals.base import Comparison, Evaluation, Quantity, utility_split
from unlearn.metrics.accuracy import accuracies, is_right
from unlearn.metrics.tug_of_war import tug_of_war
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class TugOfWar(Evaluation):
    """Product of 1 - |difference to the retrained models' mean| over forget, retain and test
    accuracy, mean over models. Higher is better, up to what retrained models get against each
    other. Accuracies alone cannot tell whether an example was forgotten.

    Source: Zhao et al., What makes unlearning hard and what to do about it, NeurIPS 2024
    (arXiv 2406.01257).
    """

    splits = ("retain", "forget", "test")
    optional_splits = ("retain_test",)
    tasks = ("classification",)
    min_models = 2
    wants_models = 3
    quantities = {"score": Quantity("tug of war", "higher", 1.0, headline=True)}

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        return population.reduce(is_right, "forget", "retain", utility_split(population.logits))

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        names = ("forget", "retain", utility_split(unlearned.logits))
        scores: Tensor = tug_of_war(
            *(accuracies(unlearned.logits[n], unlearned.targets[n]) for n in names),
            *(accuracies(retrained.logits[n], retrained.targets[n]).mean() for n in names),
        )
        return Comparison({"score": torch.mean(scores).item()}, {}, "mean over models")
