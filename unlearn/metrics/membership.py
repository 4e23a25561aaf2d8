"""Membership attacks on one model: was this forget example in the training set?"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, get_args

import numpy as np
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.svm import SVC
from torch import Tensor

from unlearn.metrics.statistics import (
    cross_entropy,
    entropy,
    modified_entropy,
    published_modified_entropy,
    true_class_probability,
)
from unlearn.metrics.validation import check_fraction, check_labels, check_logits, require

MembershipStatistic = Literal["correctness", "confidence", "entropy", "m_entropy", "prob"]


def unchecked() -> AbstractContextManager[None]:
    """scikit-learn without its checks of arrays: made here already, and dearer than the fits."""
    return config_context(assume_finite=True, skip_parameter_validation=True)


def entropy_attack(retain_logits: Tensor, test_logits: Tensor, forget_logits: Tensor) -> float:
    """Share of forget examples that a logistic regression on prediction entropy calls members.

    The attacker learns softmax entropy of retain (member) against test examples (non-member) with
    balanced class weights.

    The target is the retrained model's value, not 0: a method whose share lies below it has made
    the forget examples conspicuous. Constant outputs leave the attacker without information, and it
    calls all or none a member; judge by the distance to the retrained model.

    Args:
        retain_logits: ``(R, C)`` logits of the unlearned model on retain examples.
        test_logits: ``(T, C)`` on test examples.
        forget_logits: ``(F, C)`` on forget examples.

    Returns:
        The share in [0, 1].

    Raises:
        ValueError: wrong shape, different numbers of classes, NaN or infinite logits.

    Source: Chundawat et al., Can Bad Teaching Induce Forgetting?, AAAI 2023, arXiv 2205.08096;
    attacker as in the code of SSD (arXiv 2308.07707) and JiT (arXiv 2402.01401).
    """
    retain, test, forget = _check_three(retain_logits, test_logits, forget_logits)
    features = [entropy(logits).cpu().numpy()[:, None] for logits in (retain, test)]
    attacker = LogisticRegression(class_weight="balanced", solver="lbfgs")
    attacker.fit(np.concatenate(features), np.repeat([1, 0], [len(retain), len(test)]))
    return float(attacker.predict(entropy(forget).cpu().numpy()[:, None]).mean())


def svc_attack(
    retain_logits: Tensor,
    retain_labels: Tensor,
    test_logits: Tensor,
    test_labels: Tensor,
    forget_logits: Tensor,
    forget_labels: Tensor,
    statistic: MembershipStatistic = "confidence",
    legacy: bool = False,
) -> float:
    """Share of forget examples that a support vector classifier calls non-members.

    An RBF classifier (C = 3, gamma = 1 / number of features) learns retain (member) against test
    examples (non-member) from one statistic of the softmax output. The tables of the field call
    the result MIA (times 100), or MIA efficacy. The balance of retain and test examples matters:
    pass a retain subset of the size of the test set, as the published code does.

    The target is the retrained model's value. The classifier can be fooled by constant outputs (one
    answer for all), which shows as distance to the retrained model, never as a good value.

    Args:
        retain_logits: ``(R, C)``.
        retain_labels: ``(R,)``.
        test_logits: ``(T, C)``.
        test_labels: ``(T,)``.
        forget_logits: ``(F, C)``.
        forget_labels: ``(F,)``.
        statistic: ``correctness`` (0 or 1), ``confidence`` (probability of the label), ``entropy``,
            ``m_entropy`` (modified entropy), ``prob`` (whole softmax vector).
        legacy: with ``m_entropy``, the formula of the published code instead of Song and Mittal's,
            to compare with published tables; the other statistics have one form only.

    Returns:
        The share in [0, 1].

    Raises:
        ValueError: wrong shape, labels out of range, NaN or infinite logits, unknown statistic.

    Source: Jia et al., Model Sparsity Can Simplify Machine Unlearning, NeurIPS 2023,
    arXiv 2304.04934; Song and Mittal, arXiv 2003.10595. Differs from the official code: the
    modified entropy is right unless ``legacy``.
    """
    names = get_args(MembershipStatistic)
    require(statistic in names, "statistic", f"is none of {names}")
    three = _check_three(retain_logits, test_logits, forget_logits)
    named = {"retain": retain_labels, "test": test_labels, "forget": forget_labels}
    retain, test, forget = (
        _svc_features(
            logits,
            check_labels(labels, f"{name}_labels", *logits.shape).to(logits.device),
            statistic,
            legacy,
        )
        for logits, (name, labels) in zip(three, named.items(), strict=True)
    )
    attacker = SVC(C=3, gamma="auto", kernel="rbf")
    with unchecked():
        attacker.fit(np.concatenate([retain, test]), np.repeat([1, 0], [len(retain), len(test)]))
        return float(1 - attacker.predict(forget).mean())


def loss_attack(
    forget_logits: Tensor, forget_labels: Tensor, unseen_logits: Tensor, unseen_labels: Tensor
) -> float:
    """Accuracy of telling forget from unseen examples by their loss; the attack inside NoMUS.

    One logistic regression on the cross-entropy, ten stratified random splits with a tenth of the
    examples held out, mean held-out accuracy. More forget than unseen examples are cut to equal
    number after a shuffle with a fixed seed; the reverse is left as it is, as in the benchmark, so
    use equal sets. Images must not be augmented when the logits are taken.

    Args:
        forget_logits: ``(F, C)``.
        forget_labels: ``(F,)``.
        unseen_logits: ``(U, C)`` of examples no model was trained on.
        unseen_labels: ``(U,)``.

    Returns:
        Accuracy in [0, 1]; 0.5 is ideal for equal sets. The benchmark's forgetting score is its
        distance from 0.5, lower is better.

    Raises:
        ValueError: wrong shape, labels out of range, NaN or infinite logits, too few examples.

    Source: Choi and Na, Towards Machine Unlearning Benchmarks, arXiv 2311.02240.
    """
    forget = check_logits(forget_logits, "forget_logits")
    unseen = check_logits(unseen_logits, "unseen_logits")
    require(forget.shape[1] == unseen.shape[1], "unseen_logits", "number of classes differs")
    forget_labels = check_labels(forget_labels, "forget_labels", *forget.shape)
    unseen_labels = check_labels(unseen_labels, "unseen_labels", *unseen.shape)
    losses = cross_entropy(forget, forget_labels.to(forget.device)).cpu().numpy()
    unseen_losses = cross_entropy(unseen, unseen_labels.to(unseen.device)).cpu().numpy()
    np.random.RandomState(42).shuffle(losses)
    losses = losses[: len(unseen_losses)]
    require(len(losses) + len(unseen_losses) > 10, "forget_logits", "too few examples to hold out")
    require(min(len(losses), len(unseen_losses)) > 1, "forget_logits", "needs two of each kind")
    values = np.concatenate([unseen_losses, losses])[:, None]
    member = np.repeat([0, 1], [len(unseen_losses), len(losses)])
    splits = StratifiedShuffleSplit(n_splits=10, random_state=0)
    with unchecked():
        return float(
            np.mean(
                [
                    LogisticRegression().fit(values[a], member[a]).predict(values[b]) == member[b]
                    for a, b in splits.split(values, member)
                ],
            )
        )


def nomus(test_accuracy: float, attack_accuracy: float) -> float:
    """NoMUS, the MUFAC benchmark's mean of utility and forgetting.

    (test accuracy + (1 - 2 |attack accuracy - 0.5|)) / 2.

    Args:
        test_accuracy: accuracy on the test set, a fraction in [0, 1].
        attack_accuracy: result of `loss_attack`, in [0, 1].

    Returns:
        The score in [0, 1]; higher is better. Constant outputs reach (chance accuracy + 1) / 2,
        which may beat an honest method: never read it without the accuracy.

    Raises:
        ValueError: an argument outside [0, 1] or NaN.

    Source: Choi and Na, arXiv 2311.02240.
    """
    accuracy = float(check_fraction(test_accuracy, "test_accuracy"))
    attack = float(check_fraction(attack_accuracy, "attack_accuracy"))
    return (accuracy + 1 - 2 * abs(attack - 0.5)) / 2


def _check_three(retain: Tensor, test: Tensor, forget: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    retain = check_logits(retain, "retain_logits")
    test = check_logits(test, "test_logits")
    forget = check_logits(forget, "forget_logits")
    for argument, logits in (("test_logits", test), ("forget_logits", forget)):
        require(
            logits.shape[1] == retain.shape[1],
            argument,
            f"has {logits.shape[1]} classes, retain_logits {retain.shape[1]}",
        )
    return retain, test, forget


def _svc_features(logits: Tensor, labels: Tensor, statistic: str, legacy: bool) -> np.ndarray:
    if statistic == "correctness":
        feature = (logits.argmax(1) == labels).double()
    elif statistic == "confidence":
        feature = true_class_probability(logits, labels)
    elif statistic == "entropy":
        feature = entropy(logits)
    elif statistic == "m_entropy":
        feature = (published_modified_entropy if legacy else modified_entropy)(logits, labels)
    else:
        feature = logits.double().softmax(1)
    return feature.reshape(len(logits), -1).detach().cpu().numpy()
