"""The public interface in Python: unlearn, evaluate and compare models on data of one's own.

Data (`forget`, `retain`, `test`) come as people have them: a map-style dataset of (image, label)
tuples or of mappings (`image`, `x`, `pixel_values` or `img`, with `label`, `y` or `target`), where
images are tensors, arrays or PIL images; a pair of arrays `(images, labels)`; or a DataLoader,
whose dataset is read. Bytes become floats in [0, 1]; floating images are network input as they are.
Whole numbers as labels mean classification, real numbers regression. Networks take `(B, ...)` and
return logits `(B, C)`, `(B, 1)` for regression, or an object or mapping with `logits`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from unlearn.comparison.given import compare_given, evaluate_given
from unlearn.comparison.given_logits import GivenLogits
from unlearn.comparison.given_models import GivenModels, answering_tensors
from unlearn.comparison.scoring import Resampling
from unlearn.data.lazy import generators_kept, seed_generators
from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.models.foreign import Logits, device_of
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.chosen import Chosen, ChosenEvaluations, shipped_config
from unlearn.programs.given import check_seed, problem_from, problem_of_targets
from unlearn.report.results import Results
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

__all__ = ["compare_logits", "compare_models", "evaluate_model", "problem_from", "unlearn_model"]

Models = nn.Module | Sequence[nn.Module]
DEFAULT = Resampling()


def unlearn_model(
    net: nn.Module,
    method: str,
    *,
    forget: Any,
    retain: Any = None,
    seed: int = 0,
    memory_gb: float = 2.0,
    fresh: Callable[[], nn.Module] | None = None,
    **hyperparameters: Any,
) -> nn.Module:
    """Unlearn a forget set with any method of this project.

    Random transforms of the datasets are drawn anew every time an example is read. The global
    random generators of the CPU are left as they were.

    Args:
        net: the trained model. It is left untouched.
        method: name of a file in conf/method, such as `ssd`; its values are the defaults.
        forget: data to forget.
        retain: data to keep; may be left out where the method does not read it.
        seed: fixes orders, noise, transforms and fresh weights; a whole number.
        memory_gb: images of more gigabytes are streamed, never held whole.
        fresh: makes a newly initialised network, for methods that need one; None = `net` with every
            layer reset.
        hyperparameters: override values of the method's YAML.

    Returns:
        The unlearned model, a new module on the device of `net`, in evaluation mode.

    Raises:
        UserError: unknown method or hyper-parameter, a value out of range, a missing retain set,
            data or a network that cannot be used.
    """
    check_seed(seed)
    settings = {
        key: value for key, value in shipped_config("method", method).items() if key != "defaults"
    }
    module: UnlearningMethod = build({**settings, **hyperparameters}, "method")
    with generators_kept():
        problem = problem_from(net, forget, retain, memory_gb=memory_gb, fresh=fresh)
        seed_generators(seed)
        work = answering_tensors(copy.deepcopy(net), problem, "net")
        view = problem.view(module.requires)
        fit(module, work, view, seed=seed, settings=_settings(net))
    made = module.net.net if isinstance(module.net, Logits) else module.net
    return made.to(device_of(net))


def evaluate_model(
    net: nn.Module,
    *,
    retrained: Models = (),
    original: nn.Module | None = None,
    forget: Any,
    retain: Any,
    test: Any,
    eval: Chosen = "standard",
    retain_examples: int | None = 10_000,
    memory_gb: float = 2.0,
    fresh: Callable[[], nn.Module] | None = None,
    resampling: Resampling = DEFAULT,
) -> Results:
    """Numbers of one model, beside those of retrained models and of the original.

    Every example is read once, in one draw of its transforms, so that all models answer the same.

    Args:
        net: the model to evaluate, unlearned by whatever means.
        retrained: models trained without the forget set, which distances are means over.
        original: the model before unlearning, for evaluations that need it.
        forget: data that were to be forgotten.
        retain: data that were kept.
        test: data that no model was trained on.
        eval: names of conf/eval: a preset (`standard`, `full`), an evaluation, several in a list,
            or a mapping from names to settings. Those of populations speak in `compare_models`.
        retain_examples: size of the fixed sample of the retain set, None = all.
        memory_gb: images of more gigabytes are streamed, never held whole.
        fresh: makes a newly initialised network, for evaluations that need one.
        resampling: replicates and level of intervals.

    Returns:
        Numbers with intervals where several retrained models were given, per-example losses; see
        `Results`.

    Raises:
        UserError: anything that cannot be used, naming the argument.
    """
    if not isinstance(net, nn.Module):
        raise UserError(f"net must be a torch.nn.Module, got {type(net).__name__}")
    given = GivenModels({"model": net}, retrained, original, name="net")
    problem = _problem(given, forget, retain, test, memory_gb, fresh)
    asked = ChosenEvaluations.of(problem, eval)
    if all(evaluation.min_models for evaluation in asked.evaluations.values()):
        raise UserError(
            f"eval: {', '.join(asked.evaluations)} compare populations of models; use "
            "compare_models"
        )
    groups, _ = given.groups(problem, _settings(net), retain_examples)
    yardstick = asked.yardstick(problem, groups, retain_examples)
    report = evaluate_given(yardstick, groups, resampling, "unlearn.api.evaluate_model")
    return Results(report, problem)


def compare_models(
    unlearned: Models | Mapping[str, Models],
    *,
    retrained: Models,
    original: Models | None = None,
    control: Models | Mapping[str, Models] | None = None,
    forget: Any,
    retain: Any,
    test: Any,
    eval: Chosen = "full",
    retain_examples: int | None = 10_000,
    memory_gb: float = 2.0,
    fresh: Callable[[], nn.Module] | None = None,
    resampling: Resampling = DEFAULT,
) -> Results:
    """Populations of unlearned models against a population of retrained ones.

    The numbers are those of `evaluate.py` for the same models.

    Args:
        unlearned: models unlearned by one method, a seed each; or such lists by method.
        retrained: models trained without the forget set, a seed each; halves of them against each
            other are the noise floor.
        original: the model that all started from, or one for each unlearned model, in order.
        control: models that went through the same method with the same values and never saw the
            forget set: each started from a retrained model and forgot another set of that size.
            They tell what a method remembers from what it does to any model. By method where
            `unlearned` is.
        forget: data that were to be forgotten.
        retain: data that were kept.
        test: data that no model was trained on.
        eval: as in `evaluate_model`.
        retain_examples: size of the fixed sample of the retain set, None = all.
        memory_gb: images of more gigabytes are streamed, never held whole.
        fresh: makes a newly initialised network, for evaluations that need one.
        resampling: replicates and level of intervals.

    Returns:
        Rows of numbers with intervals, numbers of every forget example, methods against each
        other; see `Results`.

    Raises:
        UserError: anything that cannot be used, naming the argument.
    """
    by_label = _by_label(unlearned)
    controls = {} if control is None else _by_label(control)
    given = GivenModels(by_label, retrained, original, controls, name="unlearned")
    if not given.retrained:
        raise UserError("retrained: at least one retrained model is needed to compare with")
    problem = _problem(given, forget, retain, test, memory_gb, fresh)
    asked = ChosenEvaluations.of(problem, eval)
    groups, of_control = given.groups(problem, _settings(given.first), retain_examples)
    yardstick = asked.yardstick(problem, groups, retain_examples)
    report = compare_given(
        yardstick, groups[0], groups[1:], of_control, resampling, "unlearn.api.compare_models"
    )
    return Results(report, problem)


def compare_logits(
    unlearned: Mapping[str, Any],
    *,
    retrained: Mapping[str, Any],
    targets: Mapping[str, Any],
    original: Mapping[str, Any] | None = None,
    control: Mapping[str, Any] | None = None,
    eval: Chosen = "full",
    resampling: Resampling = DEFAULT,
) -> Results:
    """The same from answers alone; evaluations that need weights or a network have no number.

    Args:
        unlearned: logits `(models, examples, classes)` by split (`retain`, `forget`, `test`), for
            regression `(models, examples)`; or such mappings by method.
        retrained: the same of retrained models.
        targets: labels `(examples,)` by split.
        original: the same of the original model, `(examples, classes)`, or of one for each
            unlearned model.
        control: the same of control models, see `compare_models`.
        eval: as in `evaluate_model`.
        resampling: replicates and level of intervals.

    Returns:
        As `compare_models`.

    Raises:
        UserError: shapes that do not fit together, naming the argument.
    """
    given = GivenLogits(unlearned, retrained, original, control, targets)
    problem = problem_of_targets(given.targets, given.outputs)
    asked = ChosenEvaluations.of(problem, eval, networks=False)
    groups, controls = given.groups(problem)
    yardstick = asked.yardstick(problem, groups, None)
    report = compare_given(
        yardstick, groups[0], groups[1:], controls, resampling, "unlearn.api.compare_logits"
    )
    return Results(report, problem)


def _by_label(given: Models | Mapping[str, Models]) -> Mapping[str, Models]:
    return given if isinstance(given, Mapping) else {"unlearned": given}


def _problem(
    given: GivenModels,
    forget: Any,
    retain: Any,
    test: Any,
    memory_gb: float,
    fresh: Callable[[], nn.Module] | None,
) -> UnlearningProblem:
    """The problem of models that are evaluated: all see the same draw of every example."""
    for name, data in (("retain", retain), ("test", test)):
        if data is None:
            raise UserError(f"{name}: give a dataset; evaluations need it")
    return problem_from(
        given.first,
        forget,
        retain,
        test,
        memory_gb=memory_gb,
        redraw=False,
        fresh=fresh,
        name=given.first_name,
    )


def _settings(net: nn.Module) -> TrainerSettings:
    """Work where the network lies."""
    return TrainerSettings(accelerator="gpu" if device_of(net).type == "cuda" else "cpu")
