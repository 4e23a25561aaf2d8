"""What `train.py` does: reference models that the store lacks."""

from typing import Any

from unlearn.programs.console import say
from unlearn.programs.job import Job
from unlearn.programs.plan import plan_training


def train(job: Job) -> dict[str, Any]:
    """Make sure that reference models exist.

    Returns:
        Role, seeds asked for and seeds trained.
    """
    plan = plan_training(job)
    references, seeds = plan.references, plan.seeds
    trained = references.train_bank(plan.role, seeds, plan.at_once)
    for seed in seeds:
        references.outputs(plan.role, seed)
    say(
        f"{plan.role} models of {references.problem.name}: {len(seeds)} wanted, {len(trained)} "
        f"trained now, {len(seeds) - len(trained)} were there; "
        f"{references.seconds(plan.role, seeds):.2f} s a model"
    )
    return {"role": plan.role, "seeds": list(seeds), "trained": trained, "ran": len(trained)}
