"""The keys of the primary configs and their types. Anything else is a mistake."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unlearn.comparison.published import Published
from unlearn.comparison.scoring import Resampling
from unlearn.errors import UserError

Seeds = int | list[int] | None


def _at_least_one(key: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UserError(f"{key} must be at least 1, got {value}")


@dataclass(frozen=True)
class Paths:
    """`paths`: folders."""

    data: str
    store: str
    runs: str
    report: str

    def __post_init__(self) -> None:
        for key, folder in asdict(self).items():
            if not folder.strip():
                raise UserError(f"paths.{key} is empty: give a folder, such as paths.{key}={key}")


@dataclass(frozen=True)
class ReferenceOptions:
    """`references`: models that others are compared with."""

    retrained: int
    missing: Literal["train", "fail"]
    original_file: str | None = None
    retrained_files: str | list[str] | None = None

    def __post_init__(self) -> None:
        _at_least_one("references.retrained", self.retrained)
        for key, files in (
            ("original_file", self.original_file),
            ("retrained_files", self.retrained_files),
        ):
            if files is not None and not files:
                raise UserError(f"references.{key} is empty: give safetensors files, or null")


@dataclass(frozen=True)
class OutputOptions:
    """`outputs`: what of a model's answers is kept."""

    retain_examples: int | None

    def __post_init__(self) -> None:
        _at_least_one("outputs.retain_examples", self.retain_examples)


@dataclass(frozen=True)
class Tuned:
    """`tuned`: where a method's values come from.

    Attributes:
        source: `authors` for those of conf/method, else what a file of conf/tuned says.
        problems: that the file names.
    """

    source: str
    problems: list[str]


@dataclass(frozen=True)
class Common:
    """What the three programs share; config groups are mappings that are checked when built."""

    paths: Paths
    references: ReferenceOptions
    outputs: OutputOptions
    dataset: dict[str, Any]
    model: dict[str, Any]
    forget: dict[str, Any]
    recipe: dict[str, Any]
    trainer: dict[str, Any]
    at_once: int | None
    published: Published | None

    def __post_init__(self) -> None:
        _at_least_one("at_once", self.at_once)


@dataclass(frozen=True)
class TrainOptions(Common):
    """conf/train.yaml."""

    role: Literal["original", "retrain"]
    logger: dict[str, Any]
    seed: int
    seeds: Seeds


@dataclass(frozen=True)
class UnlearnOptions(Common):
    """conf/unlearn.yaml."""

    method: dict[str, Any]
    eval: dict[str, Any]
    logger: dict[str, Any]
    seed: int
    seeds: Seeds
    original_seed: int | Literal["seed"]
    control: bool
    augment: bool
    overwrite: bool
    save_model: bool
    table: bool | None
    tuned: Tuned


@dataclass(frozen=True)
class EvaluateOptions(Common):
    """conf/evaluate.yaml."""

    eval: dict[str, Any]
    logger: dict[str, Any]
    resampling: Resampling
    pictures: bool
