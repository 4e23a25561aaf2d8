"""What people mistype: each is one line that names it, status 2, no traceback, nothing left behind.

The programs run in this process, through the same door as from a shell.
"""

import contextlib
import io
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from unlearn.api import unlearn_model
from unlearn.errors import UserError
from unlearn.programs import entry

PROGRAMS = {"train": entry.train, "unlearn": entry.run, "evaluate": entry.evaluate}
CROP = "unlearn.data.augment.RandomCrop"

# program, overrides, what the line must name
BAD = [
    ("unlearn", "experiment=nope", "no experiment/nope; experiment is one of"),
    ("unlearn", "method=nonsense", "no method/nonsense; method is one of activation_reset"),
    ("unlearn", "dataset=nonsense", "dataset is one of agedb"),
    ("unlearn", "model=nonsense", "model is one of"),
    ("unlearn", "forget=nonsense", "forget is one of"),
    ("unlearn", "recipe=nonsense", "recipe is one of"),
    ("unlearn", "eval=nonsense", "eval is one of"),
    ("unlearn", "trainer=nonsense", "trainer is one of"),
    ("unlearn", "logger=nonsense", "logger is one of"),
    ("unlearn", "launcher=nonsense", "launcher is one of"),
    # keys
    ("unlearn", "+methd=gisa", "methd: this program has no such setting; did you mean 'method'"),
    ("unlearn", "sed=1", "'sed'"),
    ("unlearn", "+method.lrr=1", "method.lrr: method has no such setting; did you mean 'lr'"),
    ("unlearn", "+recipe.epoch=3", "did you mean 'epochs'"),
    ("unlearn", "+model.widht=3", "did you mean 'width'"),
    ("unlearn", "+dataset.sizes=3", "did you mean 'size'"),
    ("unlearn", "+forget.fractoin=0.1", "did you mean 'fraction'"),
    ("unlearn", "+trainer.device=1", "did you mean 'devices'"),
    ("unlearn", "+recipe.optimizer.lrr=1", "recipe.optimizer.lrr"),
    ("unlearn", "+recipe.scheduler.nope=2", "recipe.scheduler.nope"),
    ("train", "method=gisa", "'method'"),
    ("evaluate", "seed=3", "'seed'"),
    ("evaluate", "resampling.nope=3", "'resampling.nope'"),
    # syntax
    ("unlearn", "seed", "missing EQUAL"),
    ("unlearn", "seed=[1", "[1"),
    ("unlearn", "--config-name nope", "no nope.yaml"),
    ("unlearn", "--config-dir nowhere --config-name nope", "nowhere"),
    # groups
    *[
        ("unlearn", f"{group}=null", "a group cannot be null")
        for group in ("method", "dataset", "model", "forget", "recipe", "eval", "trainer", "logger")
    ],
    ("train", "dataset=null", "a group cannot be null"),
    ("evaluate", "eval=null", "a group cannot be null"),
    ("unlearn", "forget=../method/gisa", "forget makes a GISA"),
    ("unlearn", "forget=../model/small_cnn", "forget.in_channels is missing"),
    ("unlearn", "method=../forget/random", "method makes a RandomForget"),
    ("unlearn", "model=../forget/random", "model: RandomForget takes no in_channels"),
    ("unlearn", "trainer=../forget/random", "a TrainerSettings is needed"),
    ("unlearn", "logger=../trainer/cpu", "a RunLogger is needed"),
    ("unlearn", "eval=../method/gisa", "eval"),
    ("unlearn", "launcher=slurm", "launcher=slurm is for sweeps: add -m"),
    ("train", "launcher=joblib", "launcher=joblib is for sweeps: add -m"),
    # seeds and counts
    ("unlearn", "seed=1.5", "seed must be a whole number, got 1.5"),
    ("unlearn", "seed=abc", "seed must be a whole number, got 'abc'"),
    ("unlearn", "seed=null", "seed must be a whole number"),
    ("unlearn", "seed=[1,2]", "seed must be a whole number"),
    ("unlearn", "seed=-1", "got -1"),
    ("unlearn", "seed=99999999999999999999", "99999999999999999999"),
    ("unlearn", "seeds=true", "seeds must be a whole number or a list"),
    ("unlearn", "seeds=0", "seeds must be a count or a list"),
    ("unlearn", "seeds=-3", "got -3"),
    ("unlearn", "seeds=[]", "got []"),
    ("unlearn", "seeds=[1,1]", "seeds lists a seed twice"),
    ("unlearn", "seeds=[1,abc]", "seeds"),
    ("unlearn", "seeds=[0,-1]", "[0, -1]"),
    ("unlearn", "original_seed=-1", "original_seed must lie in"),
    ("unlearn", "original_seed=abc", "original_seed must be"),
    ("train", "seed=-1", "got -1"),
    ("train", "seeds=1000000000000", "a bank has at most 100,000 models"),
    ("train", "role=both", "role must be one of original, retrain"),
    ("unlearn", "at_once=0", "at_once must be at least 1"),
    ("unlearn", "at_once=-1", "at_once must be at least 1"),
    ("unlearn", "at_once=abc", "at_once must be a whole number or null"),
    ("unlearn", "overwrite=no", "overwrite must be true or false"),
    ("unlearn", "overwrite=maybe", "overwrite must be true or false"),
    ("unlearn", "save_model=perhaps", "save_model must be true or false"),
    ("unlearn", "table=perhaps", "table must be true or false"),
    ("unlearn", "control=perhaps", "control must be true or false"),
    ("evaluate", "pictures=maybe", "pictures must be true or false"),
    ("unlearn", "references.missing=maybe", "references.missing must be one of train, fail"),
    ("unlearn", "references.retrained=-2", "references.retrained must be at least 1"),
    ("unlearn", "references.retrained=0", "references.retrained must be at least 1"),
    ("unlearn", "references.retrained=abc", "references.retrained must be a whole number"),
    ("unlearn", "references.original_file=", "references.original_file is empty"),
    ("unlearn", "references.original_file=no.safetensors", "cannot read no.safetensors"),
    ("unlearn", "references.retrained_files=no/*.st", "references.retrained_files: no file"),
    ("unlearn", "outputs.retain_examples=0", "outputs.retain_examples must be at least 1"),
    ("unlearn", "outputs.retain_examples=-5", "outputs.retain_examples must be at least 1"),
    ("unlearn", "outputs.retain_examples=abc", "outputs.retain_examples must be a whole number"),
    ("unlearn", "paths.store=", "paths.store is empty"),
    ("unlearn", "paths.store=null", "paths.store must be a text"),
    ("unlearn", "paths.runs=null", "paths.runs must be a text"),
    ("evaluate", "paths.report=", "paths.report is empty"),
    ("evaluate", "paths.report=null", "paths.report must be a text"),
    ("evaluate", "resampling.models=abc", "resampling.models must be a whole number"),
    ("evaluate", "resampling.models=0", "resampling"),
    ("evaluate", "resampling.level=2", "level must lie between 0 and 1"),
    ("evaluate", "resampling.seed=-1", "resampling.seed must be at least 0"),
    ("unlearn", "eval=[epsilon_hat] eval.epsilon_hat.delta=2", "eval.epsilon_hat: delta: must lie"),
    ("unlearn", "eval=[rmia] eval.rmia.gamma=0", "eval.rmia: gamma: must be above 0"),
    ("evaluate", "eval=full eval.certified_epsilon.level=1", "eval.certified_epsilon: level: must"),
    ("evaluate", "eval=full eval.forgetting_quality.delta=-1", "eval.forgetting_quality: delta:"),
    ("evaluate", "eval.epsilon_hat.delta=nan", "eval.epsilon_hat.delta must be a number"),
    ("unlearn", "logger=wandb logger.tags=foo", "logger.tags must be a list"),
    # trainer
    ("unlearn", "trainer=gpu", "this machine shows no CUDA device"),
    ("unlearn", "trainer.accelerator=tpu", "trainer.accelerator must be one of auto, cpu, gpu"),
    ("unlearn", "+trainer.precision=nonsense", "trainer.precision must be one of 32-true"),
    ("unlearn", "+trainer.precision=fp8", "trainer.precision must be one of 32-true"),
    ("unlearn", "+trainer.precision=64-true", "trainer.precision must be one of 32-true"),
    ("unlearn", "+trainer.workers=-1", "trainer.workers must be at least 0"),
    ("unlearn", "+trainer.devices=0", "trainer.devices must be at least 1"),
    ("unlearn", "+trainer.num_nodes=0", "trainer.num_nodes must be at least 1"),
    ("unlearn", "+trainer.resident_gb=-1", "trainer.resident_gb must be at least 0"),
    ("unlearn", "+trainer.strategy=nonsense", "trainer.strategy must be one of auto, ddp"),
    # model
    ("unlearn", "model.width=0", "model.width and model.hidden must be at least 1"),
    ("unlearn", "model.width=-4", "model.width and model.hidden must be at least 1"),
    ("unlearn", "model.hidden=0", "model.width and model.hidden must be at least 1"),
    ("unlearn", "model.width=abc", "model.width must be a whole number"),
    ("train", "model.width=0", "model.width and model.hidden must be at least 1"),
    ("unlearn", "model=resnet18 model.pretrained=maybe", "model.pretrained must be true or false"),
    ("unlearn", "model=vit_tiny model.heads=3", "width must be a multiple of heads"),
    ("unlearn", "model=vit_tiny model.layers=0", "model.layers must be at least 1"),
    ("unlearn", "model=vit_tiny model.patch_size=0", "model.patch_size must be at least 1"),
    ("unlearn", "model=vit_tiny model.dropout=2", "dropout lie in [0, 1)"),
    ("unlearn", "model=vit_b_16 dataset.size=100", "patches of 16"),
    ("unlearn", "model=vgg16", "at least 32 pixels"),
    ("unlearn", "dataset.size=2", "at least 4 pixels"),
    ("unlearn", "model._target_=nowhere.Net", "model: cannot import 'nowhere.Net'"),
    ("unlearn", "model._target_=unlearn.errors.UserError", "cannot be built from settings"),
    # dataset
    ("unlearn", "dataset.size=0", "dataset.size must lie in 1.."),
    ("unlearn", "dataset.size=-8", "dataset.size must lie in 1.."),
    ("unlearn", "dataset.size=abc", "dataset.size must be a whole number or null"),
    ("unlearn", "dataset.mean=[0.1,0.2]", "dataset.mean needs one number a channel"),
    ("unlearn", "dataset.mean=[]", "dataset.mean needs one number a channel"),
    ("unlearn", "dataset.mean=0.5", "dataset.mean must be a list"),
    ("unlearn", "dataset.mean=[a]", "dataset.mean must be a list"),
    ("unlearn", "dataset.std=[0]", "dataset.std must hold numbers above 0"),
    ("unlearn", "dataset.std=[nan]", "dataset.std"),
    ("unlearn", "dataset.test_fraction=0", "dataset.test_fraction must lie in (0, 1)"),
    ("unlearn", "dataset.test_fraction=nan", "dataset.test_fraction must be a number"),
    ("unlearn", "dataset.test_fraction=0.0001", "dataset.test_fraction=0.0001: every class"),
    ("unlearn", "dataset.test_fraction=0.9999", "dataset.test_fraction=0.9999: every class"),
    ("unlearn", "dataset.seed=-1", "dataset.seed must lie in"),
    ("unlearn", "dataset.seed=abc", "dataset.seed must be a whole number"),
    ("evaluate", "dataset.size=0", "dataset.size must lie in 1.."),
    ("unlearn", "dataset=image_folder", "dataset.root is missing"),
    (
        "unlearn",
        "dataset=image_folder dataset.root=nowhere",
        "dataset.root=nowhere: no such folder",
    ),
    (
        "unlearn",
        "dataset=image_folder dataset.root=x dataset.transparency=black",
        "dataset.transparency must be one of white, refuse",
    ),
    ("unlearn", "dataset=agedb dataset.target=months", "dataset.target must be one of years"),
    ("unlearn", "dataset=pins dataset.test_fraction=0", "dataset.test_fraction must lie in (0, 1)"),
    ("unlearn", "dataset=mufac", "no such folder"),
    ("unlearn", "dataset=mufac_synthetic dataset.households=0", "at least 4 households"),
    ("unlearn", "dataset=mufac_synthetic dataset.seed=-1", "dataset.seed must lie in"),
    ("unlearn", "dataset._target_=builtins.dict", "dataset"),
    # forget set
    ("unlearn", "forget.fraction=0", "forget.fraction must lie strictly between 0 and 1"),
    ("unlearn", "forget.fraction=1", "forget.fraction must lie strictly between 0 and 1"),
    ("unlearn", "forget.fraction=nan", "forget.fraction must be a number or null"),
    ("unlearn", "forget.fraction=0.0000001", "0 of 1437 training examples"),
    ("unlearn", "forget.count=5", "exactly one of forget.count and forget.fraction"),
    ("unlearn", "forget.count=99999 forget.fraction=null", "99999 of 1437"),
    ("unlearn", "forget.seed=-1", "forget.seed must lie in"),
    ("unlearn", "forget.seed=99999999999999999999", "forget.seed must lie in"),
    ("unlearn", "forget=class forget.classes=12", "class 12 does not exist"),
    ("unlearn", "forget=class forget.classes=[]", "selects 0 of 1437"),
    ("unlearn", "forget=class forget.classes=[0,1,2,3,4,5,6,7,8,9]", "selects 1437 of 1437"),
    ("unlearn", "forget=subclass", "finer classes"),
    ("unlearn", "forget=household", "no households or identities"),
    ("unlearn", "forget=indices", "forget.file is missing"),
    ("unlearn", "forget=indices forget.file=nowhere.txt", "no such file 'nowhere.txt'"),
    ("unlearn", "forget=hardest", "forget.file is missing"),
    ("train", "forget.fraction=2", "forget.fraction must lie strictly between 0 and 1"),
    # method
    ("unlearn", "method.lr=-1", "method.lr must lie in"),
    ("unlearn", "method.lr=high", "method.lr must be a number"),
    ("unlearn", "method.lr=nan", "method.lr must be a number"),
    ("unlearn", "method.lr=null", "method.lr must be a number"),
    ("unlearn", "method=ssd method.alpha=-1", "method.alpha must lie in"),
    ("unlearn", "method=external method.files=nowhere/*.st", "method.files: no file matches"),
    # recipe
    ("unlearn", "recipe.epochs=0", "recipe.epochs must be at least 1"),
    ("unlearn", "recipe.epochs=1.5", "recipe.epochs must be a whole number"),
    ("unlearn", "recipe.batch_size=0", "recipe.batch_size must be at least 1"),
    ("unlearn", "+recipe.last_batch=maybe", "recipe.last_batch must be one of"),
    ("unlearn", "+recipe.gradient_clip=-1", "recipe.gradient_clip must be finite and above 0"),
    ("unlearn", "+recipe.gradient_clip=0", "recipe.gradient_clip must be finite and above 0"),
    ("unlearn", "recipe.optimizer=null", "recipe.optimizer must be settings with a _target_"),
    ("unlearn", "recipe.optimizer=sgd", "recipe.optimizer must be settings with a _target_"),
    ("unlearn", "recipe.optimizer._target_=torch.optim.Nope", "cannot import 'torch.optim.Nope'"),
    ("unlearn", "recipe.optimizer._target_=os.system", "recipe.optimizer.lr"),
    ("unlearn", "recipe.optimizer.lr=-1", "recipe.optimizer.lr must be finite and above 0"),
    ("unlearn", "recipe.optimizer.lr=inf", "recipe.optimizer.lr must be finite and above 0"),
    ("unlearn", "recipe.optimizer.lr=foo", "recipe.optimizer.lr must be a number"),
    ("unlearn", "recipe.optimizer.lr=nan", "recipe.optimizer.lr must be a number"),
    (
        "unlearn",
        "recipe.optimizer.lr=0.3",
        "recipe.optimizer.lr=0.3 has no effect: one_cycle sets the rate",
    ),
    (
        "unlearn",
        "recipe.optimizer.momentum=0.5",
        "recipe.optimizer.momentum=0.5 has no effect: one_cycle moves the momentum",
    ),
    ("unlearn", "recipe.optimizer.momentum=-1", "recipe.optimizer.momentum must be finite"),
    ("unlearn", "recipe.optimizer.nesterov=maybe", "recipe.optimizer.nesterov must be true"),
    ("unlearn", "recipe.optimizer.weight_decay=-1", "recipe.optimizer.weight_decay must be"),
    ("train", "recipe.optimizer.lr=-1", "recipe.optimizer.lr must be finite and above 0"),
    ("unlearn", "recipe.scheduler=null", "recipe.optimizer.lr cannot be worked out"),
    ("unlearn", "recipe.scheduler=foo", "recipe.optimizer.lr cannot be worked out"),
    ("unlearn", "recipe.scheduler.peak=abc", "'abc'"),
    ("unlearn", "recipe.scheduler.peak=0", "recipe.scheduler.peak must be finite and above 0"),
    ("unlearn", "+recipe.scheduler.warmup=2", "recipe.scheduler.warmup must lie in (0, 1)"),
    ("unlearn", "recipe=competition +recipe.scheduler.warmup_epochs=-1", "warmup_epochs must be"),
    ("unlearn", "recipe=salun182 recipe.scheduler.milestones=abc", "milestones must be a list"),
    ("unlearn", "recipe=salun182 recipe.scheduler.gamma=-1", "gamma must be finite"),
    ("unlearn", "recipe.augment=foo", "recipe.augment must be a list"),
    ("unlearn", "recipe.augment=[foo]", "recipe.augment must be a list"),
    ("unlearn", "recipe.augment=[{_target_:nowhere.Crop}]", "recipe.augment[0]: cannot import"),
    ("unlearn", f"recipe.augment=[{{_target_:{CROP}}}]", "recipe.augment[0].padding is missing"),
    ("unlearn", f"recipe.augment=[{{_target_:{CROP},padding:99}}]", "too much for 8 pixels"),
]


def quick(program: str, overrides: str) -> list[str]:
    """Words that keep a mistake that is not found from costing minutes."""
    words = {"train": [], "unlearn": ["logger=none"], "evaluate": ["logger=none"]}[program]
    words += [] if "trainer" in overrides else ["trainer=cpu"]
    words += ["recipe.epochs=1"] if "recipe.epochs" not in overrides else []
    words += ["references.retrained=1"]
    return [word for word in words if f"{word.split('=')[0]}=" not in overrides]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("program", "overrides", "named"), BAD, ids=[f"{p} {o}" for p, o, _ in BAD]
)
def test_a_mistake_is_one_line(program, overrides, named, tmp_path, monkeypatch):
    if overrides == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", [f"{program}.py", *quick(program, overrides), *overrides.split()]
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("HYDRA_FULL_ERROR", "GOMP_SPINCOUNT"):  # set by the programs: restored afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.raises(SystemExit) as ended,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        PROGRAMS[program]()
    assert ended.value.code == 2, err.getvalue()
    [line] = err.getvalue().splitlines()
    assert line.startswith("error: ") and named in line
    assert not out.getvalue() and "Traceback" not in line
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def examples(count: int, low: int = 0, high: int = 3) -> TensorDataset:
    return TensorDataset(torch.randn(count, 3, 2, 2), low + torch.arange(count) % (high - low))


# values given to `unlearn_model`, what the line must name
BAD_CALLS: list[tuple[dict, str]] = [
    ({"method": "magic"}, "unknown method 'magic'|magic"),
    ({"method": "retrain"}, "recipe"),
    ({"net": "resnet18"}, "net must be a torch.nn.Module"),
    ({"forget": None}, "forget"),
    ({"retain": None}, "retain"),
    ({"forget": examples(0, 0, 1)}, "forget"),
    ({"forget": examples(5, 5, 8)}, "label 7 is out of range"),
    ({"retain": examples(5, -1, 2)}, "label -1 is out of range"),
    ({"seed": -1}, "seed must be a whole number"),
    ({"seed": 1.5}, "seed must be a whole number"),
    ({"seed": True}, "seed must be a whole number"),
    ({"seed": 2**40}, "seed must be a whole number"),
    ({"memory_gb": -1}, "memory_gb must be a number"),
    ({"alpha": -1.0}, r"method\.alpha must lie in"),
    ({"alpha": "big"}, r"method\.alpha must be a number"),
    ({"alpha": float("nan")}, r"method\.alpha must be a number"),
    ({"alpha": None}, r"method\.alpha must be a number"),
    ({"alhpa": 2.0}, "did you mean 'alpha'"),
    ({"reference": "half"}, "one of full, retain"),
    ({"batch_size": 0}, "batch_size"),
]


@pytest.mark.parametrize(("given", "named"), BAD_CALLS, ids=[str(g)[:40] for g, _ in BAD_CALLS])
def test_a_mistake_in_python_is_one_line(given, named):
    values = {
        "net": network(), "method": "ssd", "forget": examples(6), "retain": examples(9), **given,
    }  # fmt: skip
    with pytest.raises(UserError, match=named) as caught:
        unlearn_model(values.pop("net"), values.pop("method"), **values)
    assert "\n" not in str(caught.value)


def test_at_least_120_mistakes_are_tried():
    assert len(set(BAD)) + len(BAD_CALLS) >= 120
