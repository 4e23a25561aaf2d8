"""Per-run evaluations of one model, beside the reference models."""

from typing import Any

from torch import nn

from unlearn.evals.base import Evaluation, keyed
from unlearn.outputs import BySplit, Outputs
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.references import References
from unlearn.setup import Job, original_seed_of, seeds_of


def gather(
    references: References,
    config: Any,
    original_seed: int,
    predictions: BySplit,
    costs: dict[str, Any],
) -> Outputs:
    """Predictions of one model beside those of the reference models."""
    seeds = list(range(config.references.retrained))
    return Outputs(
        unlearned=predictions,
        original=references.outputs("original", original_seed),
        retrained=[references.outputs("retrained", seed) for seed in seeds],
        costs=costs,
        retrain_seconds=references.seconds("retrained", seeds),
        original_state=references.model("original", original_seed).tensors,
    )


def evaluate(
    evaluations: dict[str, Evaluation],
    outputs: Outputs,
    problem: UnlearningProblem,
    net: nn.Module,
) -> dict[str, float]:
    """Numbers of all per-run evaluations, each under `<evaluation>/<quantity>`."""
    metrics: dict[str, float] = {}
    for name, evaluation in evaluations.items():
        metrics.update(keyed(name, evaluation.compute(outputs, problem, net)))
    return metrics


def reference_rows(
    job: Job, references: References, evaluations: dict[str, Evaluation]
) -> dict[str, list[dict[str, float]]]:
    """The evaluations' numbers of the original and the retrained models themselves.

    A retrained model is compared with the other retrained models, so what depends on retrained
    models is NaN where there is only one.
    """
    config = job.config
    seeds = list(range(config.references.retrained))
    run_seeds = [config.seed] if config.seeds is None else seeds_of(config.seeds)
    originals = sorted({original_seed_of(config, seed) for seed in run_seeds})
    rows: dict[str, list[dict[str, float]]] = {"original": [], "retrained": []}
    models = [*(("original", s) for s in originals), *(("retrained", s) for s in seeds)]
    for role, seed in models:
        predictions = references.outputs(role, seed)  # type: ignore[arg-type]
        entry = references.model(role, seed)  # type: ignore[arg-type]
        start = seed if role == "original" else originals[0]
        outputs = gather(references, config, start, predictions, entry.meta["costs"])
        if role == "retrained":
            outputs.retrained.pop(seeds.index(seed))
        net = references.net(role, seed)  # type: ignore[arg-type]
        rows[role].append(evaluate(evaluations, outputs, references.problem, net))
    return rows


def evaluation_digests(job: Job, evaluations: dict[str, Evaluation]) -> dict[str, str]:
    """What makes an evaluation's numbers comparable: its settings and the retrained models used."""
    shared = [job.config.references.retrained, job.config.outputs.retain_examples]
    values = job.plain("eval")
    return {name: canonical_digest([values[name], shared])[:12] for name in evaluations}
