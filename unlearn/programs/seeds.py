"""Seeds of a job, and which models they stand for."""

from unlearn.errors import UserError
from unlearn.programs.options import Seeds

MOST_SEED = 2**31 - 1
MOST_MODELS = 100_000  # more is a slip of the pen


# Added to the seed of a control run wherever it draws numbers: else it would share orders, noise
# and fresh weights with the ordinary run of its seed, and be closer to it than two strangers.
CONTROL_SEEDS = 3_000_017


def control_start(original: int) -> int:
    """The retrained model that takes an original's place in a control run: every second one, so
    that the others are left for comparisons with models that no control run started from."""
    return 2 * original + 1


def seeds_of(seed: int, seeds: Seeds) -> list[int]:
    """Seeds of a job: a count `n` means 0..n-1, a list means itself, None the single seed.

    Raises:
        UserError: no seed, a negative or a repeated one.
    """
    if isinstance(seeds, int) and seeds > MOST_MODELS:
        raise UserError(f"seeds={seeds}: a bank has at most {MOST_MODELS:,} models")
    if seeds is None:
        chosen, name = [seed], "seed"
    else:
        chosen, name = list(range(seeds)) if isinstance(seeds, int) else list(seeds), "seeds"
    if not chosen or min(chosen) < 0 or max(chosen) > MOST_SEED:
        raise UserError(
            f"{name} must be a count or a list of seeds such as [0,3,7], none below 0 or above "
            f"{MOST_SEED}; got {seed if seeds is None else seeds}"
        )
    if len(set(chosen)) < len(chosen):
        raise UserError(f"{name} lists a seed twice: {chosen}")
    return chosen
