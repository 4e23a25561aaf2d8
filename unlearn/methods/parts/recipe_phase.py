"""The phase that trains a network from scratch."""

from unlearn.errors import UserError
from unlearn.methods.base import Phase
from unlearn.recipes.recipe import Recipe


def recipe_phase(recipe: Recipe | None, data: str) -> Phase:
    """The phase that trains a network by the recipe on `data` (`mixed` or `retain`)."""
    if recipe is None:
        raise UserError("this problem has no recipe, so no model can be trained from scratch")
    return Phase(
        name="train",
        data=data,
        epochs=recipe.epochs,
        optimizer=recipe.optimizer,
        scheduler=recipe.scheduler,
        batch_size=recipe.batch_size,
        last_batch=recipe.last_batch,
        augment=recipe.augment,
        gradient_clip=recipe.gradient_clip,
    )
