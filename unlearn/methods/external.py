"""Models that were unlearned by somebody else's code, as a method among the others."""

from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.models.weights import WeightFile, weight_files


class External(UnlearningMethod):
    """Takes the weights of models unlearned elsewhere, so that they are evaluated and compared as
    those of the methods here. The run of seed i takes file i, counted from 0 in sorted order. A run
    is identified by what is in its file, wherever that lies; what it cost is unknown.

        theta_u = weights of the file

    Source: none; any published code that can save a state dict.
    Reads: nothing of the data, one file a run.
    Differs from the official code: not applicable.

    Args:
        files: safetensors files, by a pattern such as `folder/*.safetensors` or as a list.
    """

    requires = ()
    done_elsewhere = True

    def __init__(self, files: str | list[str]):
        super().__init__()
        self.files = weight_files(files, "method.files")

    def prepare(self) -> None:
        self._file(self.seed).load_into(self.net)

    def content(self, seed: int) -> dict[str, str]:
        return {"files": self._file(seed).digest}

    def _file(self, seed: int) -> WeightFile:
        if seed >= len(self.files):
            raise UserError(
                f"method.files: there are {len(self.files)} files, and the run of seed {seed} "
                f"takes file {seed + 1}: choose seeds below {len(self.files)}, or give more files"
            )
        return self.files[seed]
