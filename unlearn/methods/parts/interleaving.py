"""Two loaders taken together in other ways than `paired` data."""

from collections.abc import Iterator

from unlearn.data.loaders import PairedLoader
from unlearn.data.splits import Batch, Pair


class Alternating(PairedLoader):
    """A forget batch, then a retain batch, each a step of its own; the shorter side is cycled."""

    @property
    def sizes(self) -> list[int]:
        """Examples of every batch of one pass."""
        pairs = PairedLoader(self.retain, self.forget).sizes
        return [size for retain, forget in pairs for size in (forget, retain)]

    def __len__(self) -> int:
        return 2 * super().__len__()

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for pair in PairedLoader(self.retain, self.forget):
            yield pair.forget
            yield pair.retain


class Zipped(PairedLoader):
    """Retain and forget batches side by side until the shorter side ends."""

    def __len__(self) -> int:
        return min(len(self.retain), len(self.forget))

    def __iter__(self) -> Iterator[Pair]:
        yield from (Pair(*sides) for sides in zip(self.retain, self.forget, strict=False))
