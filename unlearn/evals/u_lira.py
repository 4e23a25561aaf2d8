"""U-LiRA: the per-example likelihood-ratio attack on populations of models."""

from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.population import u_lira
from unlearn.metrics.statistics import logit_scaled_confidence
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class ULiRA(Evaluation):
    """Accuracy, AUC and true positive rates at 1 % and 0.1 % false positives of an attacker who
    knows, example by example, how unlearned and retrained models behave, and says which a held-out
    model is. An accuracy of 50 % is perfect unlearning; closer is better, whatever the number of
    models. Regression uses the prediction in place of the log odds.

    Source: Hayes et al., Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense
    of Privacy, SaTML 2025 (arXiv 2403.01218).
    """

    splits = ("forget",)
    min_models = 8
    remembers = ("accuracy",)
    fewest = {"accuracy": 16}  # benchmarks/coverage.py: twice too wide with fewer
    wants_models = 64
    over_examples = {"accuracy": ("u_lira", "mean")}
    quantities = {
        "accuracy": Quantity("U-LiRA", "closer", 0.5, "%", headline=True),
        "auc": Quantity("U-LiRA AUC", "closer", 0.5),
        "tpr_1_percent": Quantity("U-LiRA TPR at 1 % FPR", "closer", 0.01, "%"),
        "tpr_0_1_percent": Quantity("U-LiRA TPR at 0.1 % FPR", "closer", 0.001, "%"),
    }

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        return population.reduce(logit_scaled_confidence, "forget")

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        attack = u_lira(
            retrained.logits["forget"], unlearned.logits["forget"], retrained.targets["forget"]
        )
        return Comparison(
            {
                "accuracy": attack.accuracy,
                "auc": attack.auc,
                "tpr_1_percent": attack.tpr_at_1_percent_fpr,
                "tpr_0_1_percent": attack.tpr_at_0_1_percent_fpr,
            },
            {"u_lira": attack.per_example},
            "held-out models",
            {
                "unlearned": attack.unlearned_scores.flatten(),
                "retrained": attack.retrained_scores.flatten(),
            },
        )
