"""What a model gets right after every epoch of its training."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer

from unlearn.methods.base import UnlearningMethod
from unlearn.metrics.accuracy import accuracy, mean_absolute_error
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import evaluated_split, forward
from unlearn.training.fit import Aside

SPLITS = ("retain", "test")
EXAMPLES = 2000  # of the retain set, the same after every epoch


class LearningCurve(Aside):
    """Accuracy on the retain and the test set after every epoch; regression: mean absolute error.

    Nothing of the training depends on it: it draws no numbers, and its time is no cost of the run.

    Args:
        problem: splits and task.
        send: gets the epoch, from 1, and the values by split.
    """

    def __init__(self, problem: UnlearningProblem, send: Callable[[int, Mapping[str, float]], Any]):
        self.problem, self.send = problem, send

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, UnlearningMethod)
        begin = time.perf_counter()
        problem, net = self.problem, module.net
        score = accuracy if problem.task.is_classification else mean_absolute_error
        training = net.training
        net.eval()
        values = {}
        for name in SPLITS:
            split = evaluated_split(problem, name, EXAMPLES)
            values[name] = score(forward(net, problem, split, module.device), split.targets)
        net.train(training)
        self.send(trainer.current_epoch + 1, values)
        self.seconds += time.perf_counter() - begin
