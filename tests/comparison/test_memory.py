"""Total, memory and shift against worlds whose answer is known."""

from types import SimpleNamespace

import torch

from unlearn.api import compare_logits
from unlearn.comparison.memory import MEMORY, SHIFT, relabelled
from unlearn.comparison.scoring import Resampling
from unlearn.evals.u_lira import ULiRA
from unlearn.storage.predictions import Population

MODELS, EXAMPLES, CLASSES = 32, 80, 5
WORLDS = 200
REMEMBERED = 2.0  # how much higher the margin of a training example is, in its own deviations
QUICK = Resampling(models=20, relabellings=99, examples=50)
ACCURACY = "u_lira/accuracy"
SIZES = {"retain": 40, "forget": EXAMPLES, "test": 40}
LABELS = {name: torch.arange(size) % CLASSES for name, size in SIZES.items()}


def models(seed: int, count: int = MODELS, forget: float | torch.Tensor = 0.0, scale: float = 1.0):
    """Logits by split of models with Gaussian margins that share an effect of the model.

    Args:
        seed: of the models.
        count: how many.
        forget: added to the margins of the forget examples.
        scale: every margin times this, a temperature.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, size in SIZES.items():
        effect = 0.3**0.5 * torch.randn(count, 1, generator=generator)
        margins = 2 + effect + 0.7**0.5 * torch.randn(count, size, generator=generator)
        margins = scale * (margins + (forget if name == "forget" else 0.0))
        logits = torch.zeros(count, size, CLASSES)
        logits[:, torch.arange(size), LABELS[name]] = margins
        found[name] = logits
    return found


RETRAINED = models(0, 2 * MODELS)
ORIGINAL = models(1, forget=REMEMBERED)


def compared(unlearned, control, evaluations=("u_lira",)):
    return compare_logits(
        {"method": unlearned},
        retrained=RETRAINED,
        original=ORIGINAL,
        control={"method": control},
        targets=LABELS,
        eval=list(evaluations),
        resampling=QUICK,
    )


def three(found, row="method", key=ACCURACY):
    numbers = found.numbers[row]
    return tuple(numbers[prefix + key] for prefix in ("", MEMORY, SHIFT))


def test_doing_nothing_has_memory_and_no_shift():
    total, memory, shift = three(compared(ORIGINAL, models(5)), "original")
    assert total.value > 0.8 and memory.value > 0.8
    assert abs(shift.value - 0.5) < 0.03
    assert memory.p_value <= 0.01 and memory.as_retrained is False


def test_exact_retraining_has_neither():
    found = compared(models(2), models(3))
    for number in three(found):
        assert abs(number.value - 0.5) < 0.03 and number.as_retrained is not False
    assert found.numbers["method"][ACCURACY].as_nothing is False


def test_what_changes_every_model_alike_is_shift_and_not_memory():
    total, memory, shift = three(compared(models(2, scale=3.0), models(3, scale=3.0)))
    assert total.value > 0.8 and shift.value > 0.8
    assert abs(memory.value - 0.5) < 0.03
    assert memory.as_retrained is True and shift.as_retrained is False


def test_a_shift_hides_no_memory():
    """Sharper outputs of models that remember: both are seen."""
    unlearned = models(2, forget=REMEMBERED, scale=3.0)
    _, memory, shift = three(compared(unlearned, models(3, scale=3.0)))
    assert memory.value > 0.8 and shift.value > 0.8


def test_outputs_lowered_to_what_retrained_models_have_are_still_told_by_memory():
    """The method lowers all margins by what the forget set had too much: total sees nothing."""
    unlearned, control = models(2, forget=0.0), models(3, forget=-REMEMBERED)
    total, memory, shift = three(compared(unlearned, control))
    assert abs(total.value - 0.5) < 0.03
    assert memory.value > 0.8 and shift.value > 0.8


def test_half_forgotten_is_half_of_the_memory_by_example():
    half = torch.zeros(EXAMPLES)
    half[EXAMPLES // 2 :] = REMEMBERED
    found = compared(models(2, forget=half), models(3))
    by_example = torch.from_numpy(found.examples["method"][f"{MEMORY}u_lira"])
    forgotten, kept = by_example.chunk(2)
    assert abs(float(forgotten.mean()) - 0.5) < 0.03 and float(kept.mean()) > 0.8
    _, memory, _ = three(found)
    _, everything, _ = three(found, "original")
    share = (memory.value - 0.5) / (everything.value - 0.5)
    assert abs(share - 0.5) < 0.1


def test_without_control_models_there_is_the_total_alone():
    found = compare_logits(
        {"method": models(2)},
        retrained=RETRAINED,
        targets=LABELS,
        eval=["u_lira"],
        resampling=QUICK,
    )
    assert ACCURACY in found.numbers["method"]
    assert not [key for key in found.numbers["method"] if key.startswith((MEMORY, SHIFT))]
    assert any("Total alone" in note for note in found.notes)


def test_the_floor_of_a_relabelling_is_that_of_as_many_models():
    """Epsilon-hat is biased upwards at few models; its floor must be so too."""
    found = compared(models(2, scale=3.0), models(3, scale=3.0), ["epsilon_hat"])
    _, memory, _ = three(found, key="epsilon_hat/median")
    floor = found.numbers["retrained"]["epsilon_hat/median"].value
    assert memory.n == MODELS and memory.without > 0.3
    assert abs(memory.without - floor) < 0.3 and abs(memory.value - memory.without) < 0.4


def test_the_test_of_memory_keeps_its_size():
    """Where nothing is remembered, one table in twenty says so of a number, whatever the shift."""
    generator = torch.Generator().manual_seed(3)
    labels = {"forget": LABELS["forget"][:30]}
    problem, evaluation = SimpleNamespace(splits=SIZES), ULiRA()
    rejected = 0
    for _ in range(WORLDS):
        effects = 0.3**0.5 * torch.randn(2, 10, 1, generator=generator)
        noise = 0.7**0.5 * torch.randn(2, 10, 30, generator=generator)
        one, other = (
            Population(tuple("abcdefghij"), {"forget": v}, labels, {"forget": torch.arange(30)})
            for v in 5 + 3 * (effects + noise)
        )
        found = relabelled(evaluation, one, other, problem, ["accuracy"], QUICK)
        rejected += found["accuracy"].p_value <= 0.05
    assert rejected <= 0.05 * WORLDS + 3 * (0.05 * 0.95 * WORLDS) ** 0.5
