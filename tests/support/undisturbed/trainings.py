"""The trainings that must stay identical: kinds of modules, loops, data and options."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.nn import utils
from torch.utils.data import DataLoader, Dataset

from tests.support.callbacks.training import SmallCNN, digits, validation_data
from tests.support.undisturbed import float32_settings, modules, public_data, public_modules
from tests.support.undisturbed.contract import Training


class Augmented(Dataset):
    """A data set with random transforms that draw from all three global streams."""

    def __len__(self) -> int:
        return 128

    def __getitem__(self, index: int) -> Any:
        images, labels = digits()
        noise = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
        return (images[index] + 0.1 * noise).float(), labels[index]


class WithGenerators(Augmented):
    """A data set with random transforms that draw from its own generators."""

    def __init__(self) -> None:
        self._numpy = np.random.default_rng(0)
        self._others = [random.Random(0), torch.Generator().manual_seed(0)]

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        python, generator = self._others
        noise = self._numpy.random() + python.random() + torch.rand((), generator=generator)
        return (image + 0.1 * noise).float(), label


def with_generators(generator: torch.Generator) -> tuple[Any, Any]:
    return DataLoader(WithGenerators(), 32, shuffle=True, generator=generator), None


def augmented(generator: torch.Generator, **options: Any) -> tuple[Any, Any]:
    shuffled = {"batch_size": 32, "shuffle": True, "generator": generator}
    return DataLoader(Augmented(), **shuffled, **options), DataLoader(validation_data(), 200)


def with_workers(generator: torch.Generator) -> tuple[Any, Any]:
    return augmented(generator, num_workers=2, persistent_workers=True)


def without_validation(generator: torch.Generator) -> tuple[Any, Any]:
    return augmented(generator)[0], None


def options(**chosen: Any) -> Training:
    return Training(options=chosen)


def saved(**chosen: Any) -> Training:
    return Training(others=lambda _: [ModelCheckpoint(**{"save_top_k": -1} | chosen)])


@contextmanager
def in_bfloat16() -> Iterator[None]:
    """Compute products of float32 matrices in bfloat16 on CPUs that can, and in TF32 on GPUs."""
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        float32_settings.reset_products()


PRECISIONS = {
    "float32": Training(),
    "float32 products in bfloat16": Training(around=in_bfloat16),
    "bf16-mixed": options(precision="bf16-mixed"),
    # On CPU, precision="16-mixed" means "bf16-mixed"; this is float16 with a scaler.
    "16-mixed": options(plugins=lambda _: [MixedPrecision("16-mixed", "cpu")]),
    "bf16-true": options(precision="bf16-true"),
    "64-true": options(precision="64-true"),
    "bf16-true with buffers and numbers": Training(
        modules.Remembering, options={"precision": "bf16-true"}
    ),
}

OPTIMIZATIONS = {
    "accumulated": options(accumulate_grad_batches=2),
    "clipped by norm": options(gradient_clip_val=0.1),
    "clipped by value": options(gradient_clip_val=0.01, gradient_clip_algorithm="value"),
    "two optimizers and schedulers": Training(modules.Alternating),
    "LBFGS": Training(modules.SecondOrder),
}

MODULES = {
    "spectral norm": Training(lambda: modules.wrapped(utils.spectral_norm)),
    "spectral norm, parametrised": Training(
        lambda: modules.wrapped(utils.parametrizations.spectral_norm)
    ),
    "weight norm": Training(lambda: modules.wrapped(utils.weight_norm)),
    "weight norm, parametrised": Training(
        lambda: modules.wrapped(utils.parametrizations.weight_norm)
    ),
    "weight norm in bf16-true": Training(
        lambda: modules.wrapped(utils.weight_norm), options={"precision": "bf16-true"}
    ),
    "stochastic depth": Training(lambda: modules.wrapped(modules.with_skipped_rows)),
    "channels last": Training(modules.ChannelsLast),
    "numbers, features, lazy buffers": Training(
        modules.Remembering, options={"num_sanity_val_steps": 0}
    ),
    "weights changed in forward": Training(modules.Renormalizing),
    "weights bounded in forward": Training(modules.Bounded),
    "LSTM": Training(modules.Recurrent),
    "LSTM in bf16-true": Training(modules.Recurrent, options={"precision": "bf16-true"}),
    "torchmetrics": Training(modules.Scored),
    "activation checkpointing": Training(modules.Checkpointed),
}

PUBLIC = {
    "state in hooks, helpers, hidden modules": Training(public_modules.Holding),
    "backward hooks, reentrant checkpointing": Training(public_modules.Hooked),
    "built by the first forward pass": Training(
        public_modules.Late, options={"num_sanity_val_steps": 0}
    ),
    "scripted and traced parts": Training(public_modules.Scripted),
    "observers of quantization": Training(public_modules.Observed),
    "data that reading changes": Training(
        loaders=public_data.changing, options={"num_sanity_val_steps": 0}
    ),
    "data that reading changes, in a worker": Training(
        loaders=public_data.changing_in_a_worker, options={"num_sanity_val_steps": 0}
    ),
    "a stream that continues": Training(
        loaders=public_data.streamed, options={"num_sanity_val_steps": 0}
    ),
}

COMPILED = {
    "compiled sub-module": Training(modules.with_compiled_part, options={"limit_val_batches": 0}),
    "compiled module": Training(modules.compiled, options={"limit_val_batches": 0}),
}


def averaged(kind: str, module: Any = modules.Watched, **chosen: Any) -> dict[str, Training]:
    if not hasattr(callbacks, kind):  # Lightning 2.5 has only stochastic averaging
        return {}

    def make(_: Any) -> list[Any]:
        return [getattr(callbacks, kind)(**chosen), ModelCheckpoint(every_n_train_steps=3)]

    return {
        f"before {kind}": Training(module, others=make),
        f"after {kind}": Training(module, others=make, leaf_callbacks_last=True),
    }


AVERAGED = {
    **averaged("StochasticWeightAveraging", SmallCNN, swa_lrs=0.01, swa_epoch_start=1),
    **averaged("WeightAveraging"),
    **averaged("EMAWeightAveraging", decay=0.9),
}

CHANGED = {
    "pruned": Training(
        others=lambda _: [callbacks.ModelPruning("l1_unstructured", amount=0.2), ModelCheckpoint()]
    ),
    "fine-tuned": Training(
        modules.WithBackbone, others=lambda _: [callbacks.BackboneFinetuning(1), ModelCheckpoint()]
    ),
    "learning rate finder": Training(
        modules.Plain,
        others=lambda _: [callbacks.LearningRateFinder(num_training_steps=4), ModelCheckpoint()],
    ),
}

LOOPS = {
    "validation within epochs": options(val_check_interval=2),
    "validation every second epoch": options(check_val_every_n_epoch=2),
    "no sanity checks": options(num_sanity_val_steps=0),
    "fast_dev_run": options(fast_dev_run=True, max_epochs=1),
    "overfit_batches": options(overfit_batches=2),
    "few batches": options(limit_train_batches=2, limit_val_batches=1),
    "no validation": Training(loaders=without_validation),
    "stopped within an epoch": options(max_steps=6),
    "within no_grad": Training(around=torch.no_grad),
}

DATA = {
    "random transforms": Training(loaders=augmented),
    "transforms with generators": Training(loaders=with_generators),
    "persistent workers": Training(loaders=with_workers),
    "loaders of the module, reloaded each epoch": Training(
        modules.OwnLoaders,
        loaders=lambda _: (None, None),
        options={
            "reload_dataloaders_every_n_epochs": 1,
            "check_val_every_n_epoch": 2,
            "num_sanity_val_steps": 0,
        },
    ),
}

SAVED = {
    "saved at every step": saved(every_n_train_steps=1),
    "saved without optimizers": saved(every_n_train_steps=3, save_weights_only=True),
    "last one saved": saved(every_n_train_steps=3, save_top_k=1, save_last=True),
    "best one saved": saved(monitor="val_loss", save_top_k=1),
    "saved asynchronously": Training(options={"plugins": lambda _: [AsyncCheckpointIO()]}),
    "not saved": Training(others=lambda _: [], options={"enable_checkpointing": False}),
}

LOGGED = {
    "two loggers": options(logger=lambda root: [TensorBoardLogger(root), CSVLogger(root)]),
    "no logger": options(logger=False),
    "logged every third step": options(log_every_n_steps=3),
}

TRAININGS = {
    **PRECISIONS,
    **OPTIMIZATIONS,
    **MODULES,
    **PUBLIC,
    **COMPILED,
    **AVERAGED,
    **CHANGED,
    **LOOPS,
    **DATA,
    **SAVED,
    **LOGGED,
}
