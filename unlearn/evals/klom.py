"""KLoM: divergence of margins, unlearned against retrained models."""

from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.population import klom
from unlearn.metrics.statistics import logit_margin
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class KLoM(Evaluation):
    """Binned KL divergence between the margins of unlearned and of retrained models, on every
    forget example (regression: between the predictions); mean and 95th percentile over examples in
    nats, and the mean over test examples. Lower is better, down to what retrained models get
    against each other with as many models.

    Source: Georgiev et al., Attribute-to-Delete (arXiv 2410.23232); bins of Rinberg et al., Easy
    Data Unlearning Bench (arXiv 2602.16400).
    """

    splits = ("forget", "test")
    min_models = 8
    wants_models = 100
    over_examples = {"mean": ("klom", "mean")}
    quantities = {
        "mean": Quantity("KLoM", "lower", headline=True),
        "percentile_95": Quantity("KLoM 95th percentile", "lower"),
        "test": Quantity("KLoM test", "lower"),
    }

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        return population.reduce(logit_margin, "forget", "test")

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        forget, test = (
            klom(retrained.logits[name], unlearned.logits[name], retrained.targets[name])
            for name in ("forget", "test")
        )
        return Comparison(
            {
                "mean": forget.mean().item(),
                "percentile_95": forget.quantile(0.95).item(),
                "test": test.mean().item(),
            },
            {"klom": forget},
            "20 bins, margins in nats",
        )
