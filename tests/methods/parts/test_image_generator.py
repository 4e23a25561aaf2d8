"""The generator of images."""

import pytest
import torch

from unlearn.methods.parts.image_generator import ImageGenerator


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 30, 18)])
def test_generator_makes_images_of_the_shape_asked_for(shape: tuple[int, ...]) -> None:
    assert ImageGenerator(16, shape)(torch.randn(4, 16)).shape == (4, *shape)
