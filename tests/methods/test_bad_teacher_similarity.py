"""Teachers with similar retain examples: weights, turns, and a teacher that is trained first."""

import pytest
import torch
from support.problems import assert_needs_classes, convolutional, fitted, images, started

from unlearn.methods.bad_teacher_similarity import BadTeacherSimilarity


def similarity_method() -> BadTeacherSimilarity:
    return BadTeacherSimilarity(
        neighbours=3,
        similar_share=0.5,
        retain_scale=3.0,
        temperature=1.0,
        teacher_lr=1e-3,
        teacher_weight_decay=0.0,
        teacher_epochs=2,
        lr=1e-3,
        weight_decay=0.0,
        epochs=1,
        batch_size=5,
    )


def test_similarity_teachers_alternate_and_weigh() -> None:
    retain, forget = images(40, 4, 3, seed=1), images(10, 4, 3, seed=2)
    method = started(similarity_method(), convolutional(3), retain, forget)
    train, distil = method.phases()
    assert train.data == "retain"  # the incompetent teacher never sees the forget set
    loader = method.make_loader(distil)
    flags = [batch.is_forget for batch in loader]
    assert len(flags) == len(loader) == 12  # 30 retain examples in batches of 5, twice
    assert all(flag.all() for flag in flags[::2]) and not any(flag.any() for flag in flags[1::2])
    sample = method.weights[method.sample.index]
    assert float(sample.mean()) == pytest.approx(1) and sample.unique().numel() > 1
    assert (method.weights[40:] == 1).all()

    batch = list(loader)[1]
    method.net.load_state_dict(method.teacher.state_dict())
    method.freeze_teacher()
    p = method.original(batch.x).softmax(1)
    divergence = (p * (p.log() - method.net(batch.x).log_softmax(1))).sum(1)
    expected = (method.weights[batch.index] * divergence).mean()
    torch.testing.assert_close(method.loss(batch), expected)


def test_similarity_teacher_is_trained_then_frozen() -> None:
    sides = images(40, 4, 3, seed=1), images(10, 4, 3, seed=2)
    fresh = started(similarity_method(), convolutional(3), *sides).teacher
    method = fitted(similarity_method(), convolutional(3), *sides)
    assert not torch.equal(fresh[0].weight, method.teacher[0].weight)
    assert not method.teacher.training
    assert method.steps_done == 2 * 8 + 12


def test_similarity_teachers_need_classes() -> None:
    assert_needs_classes("bad_teacher_similarity")
