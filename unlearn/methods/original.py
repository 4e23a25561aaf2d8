"""Doing nothing: the row every method must beat."""

from unlearn.methods.base import UnlearningMethod


class Original(UnlearningMethod):
    """Returns the original model unchanged. Its distance to the retrained models is the whole of
    what there is to unlearn.

        theta_u = theta

    Source: the do-nothing baseline of the NeurIPS 2023 unlearning challenge (Triantafillou et al.,
    arXiv 2406.09073).
    Reads: nothing.
    Differs from the official code: not applicable.
    """

    requires = ()
    stacks = True
