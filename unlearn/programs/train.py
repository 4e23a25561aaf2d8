"""What `train.py` does: reference models that the store lacks."""

from dataclasses import replace
from typing import Any

from lightning import Callback

from unlearn.evals.accuracy import Accuracy
from unlearn.evals.base import Outputs
from unlearn.programs.console import say
from unlearn.programs.job import Job
from unlearn.programs.plan import TrainPlan, plan_training
from unlearn.storage.making import versions
from unlearn.tracking.base import RunInfo, RunLogger
from unlearn.tracking.learning import LearningCurve
from unlearn.training.processes import is_first


def train(job: Job) -> dict[str, Any]:
    """Make sure that reference models exist.

    Returns:
        Role, seeds asked for and seeds trained.
    """
    plan = plan_training(job)
    references, seeds = plan.references, plan.seeds
    log = TrainingLog(plan)
    try:
        trained = references.train_bank(
            plan.role, seeds, plan.at_once, watchers=log.started, stored=log.stored
        )
    except BaseException:
        log.failed()
        raise
    for seed in seeds:
        references.outputs(plan.role, seed)
    say(
        f"{plan.role} models of {references.problem.name}: {len(seeds)} wanted, {len(trained)} "
        f"trained now, {len(seeds) - len(trained)} were there; "
        f"{references.seconds(plan.role, seeds):.2f} s a model"
    )
    if trained and plan.folder.is_dir():
        say(f"what was logged of them: {plan.folder}")
    return {"role": plan.role, "seeds": list(seeds), "trained": trained, "ran": len(trained)}


class TrainingLog:
    """What the loggers are told of trainings: losses and accuracies as they come of a model that is
    trained on its own, and of every model what it ended with.

    Args:
        plan: what is trained.
    """

    def __init__(self, plan: TrainPlan):
        self.plan = plan
        self.logger = plan.logger if is_first() else RunLogger()
        self.failed = self.logger.failed

    def started(self, seed: int) -> list[Callback]:
        """What watches a training."""
        watching = self.logger.started(self._info(seed))
        if type(self.logger).learned is RunLogger.learned:  # nobody wants to know
            return watching
        return [*watching, LearningCurve(self.plan.references.problem, self.logger.learned)]

    def stored(self, seed: int) -> None:
        """A model lies in the store."""
        references, role = self.plan.references, self.plan.role
        problem, outputs = references.problem, references.outputs(role, seed)
        accuracy = Accuracy()
        found = accuracy.compute(Outputs(outputs, original={}), problem, references.net(role, seed))
        address = references.address(role, seed)
        folder = self.plan.folder / f"{address.name}-{address.code[:8]}"
        document = {
            "problem": {"name": problem.name, "digest": problem.digest},
            "metrics": {f"accuracy/{split}": value for split, value in found.items()},
            "costs": dict(references.costs(role, seed)),
            "versions": versions(),
        }
        quantities = {f"accuracy/{k}": q for k, q in accuracy.described(problem).items()}
        self.logger.finished(self._info(seed), document, quantities, folder)

    def _info(self, seed: int) -> RunInfo:
        info = self.plan.info
        config = {**info.config, "seed": seed}
        return replace(info, name=f"{info.name} model, seed {seed}", config=config)
