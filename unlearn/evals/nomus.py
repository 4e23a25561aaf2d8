"""The MUFAC benchmark's membership attack on the loss, and its score NoMUS."""

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity, utility_split
from unlearn.metrics.accuracy import accuracy
from unlearn.metrics.membership import loss_attack, nomus
from unlearn.problem import UnlearningProblem


class NoMUS(Evaluation):
    """Accuracy of a logistic regression that tells forget from unseen examples by their loss, and
    NoMUS, the mean of test accuracy and 1 - 2 |attack accuracy - 1/2|. Unseen are the `unseen`
    split where the problem has one (people in no training image), test images of the forgotten
    classes where whole classes are forgotten (test accuracy is then of the kept ones), else the
    test set; both sides are cut to one size. 0.5 says that the attacker learns nothing, but right
    is what retrained models get, of both numbers. A high NoMUS without the test accuracy beside
    it means nothing.

    Source: Choi and Na, Towards Machine Unlearning Benchmarks: Forgetting the Personal Identities
    in Facial Recognition Systems (arXiv 2311.02240).
    """

    splits = ("forget", "test")
    optional_splits = ("unseen", "forget_test", "retain_test")
    tasks = ("classification",)
    quantities = {
        "loss_attack": Quantity("loss attack", "closer", ideal=0.5, unit="%"),
        "score": Quantity("NoMUS", "closer"),
    }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        own = outputs.unlearned
        forget = own["forget"]
        unseen = own[next(n for n in ("unseen", "forget_test", "test") if n in own)]
        size = min(len(forget), len(unseen))
        forget, unseen = forget.sample(size), unseen.sample(size)
        if size < 6:  # a tenth held out needs one of each kind
            return {"loss_attack": float("nan"), "score": float("nan")}
        attack = loss_attack(*forget.pair, *unseen.pair)
        return {
            "loss_attack": attack,
            "score": nomus(accuracy(*own[utility_split(own)].pair), attack),
        }
