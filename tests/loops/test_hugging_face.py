"""The Trainer of transformers is measured without a change of the training."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_leaf import LeafError, LocalDataMatrix
from lightning_leaf.loops import hugging_face
from lightning_leaf.loops.hugging_face import LeafTrainerCallback, log_dir_of
from tests.support.callbacks.training import scalars

INSTALLED = importlib.util.find_spec("transformers") is not None
needs_transformers = pytest.mark.skipif(not INSTALLED, reason="transformers is not installed")

VIT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "image_size": 8, "patch_size": 4, "num_channels": 1, "num_labels": 3,
    "hidden_dropout_prob": 0.1,
}  # fmt: skip


@pytest.fixture
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logic of the callback does not need transformers."""
    monkeypatch.setattr(hugging_face, "TrainerCallback", object)


def arguments(output: Path, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(
        output_dir=str(output), report_to=["tensorboard"], load_best_model_at_end=False,
        per_device_train_batch_size=4, gradient_accumulation_steps=2, **more,
    )  # fmt: skip


def test_missing_transformers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_face, "TrainerCallback", None)
    with pytest.raises(ModuleNotFoundError, match="pip install transformers accelerate"):
        LeafTrainerCallback(torch.rand(2, 4))


@pytest.mark.usefixtures("without_transformers")
def test_hooks_measure_at_optimizer_steps(tmp_path: Path) -> None:
    model, x = nn.Linear(4, 3), torch.rand(5, 4)
    args, state = arguments(tmp_path), SimpleNamespace(is_world_process_zero=True, global_step=0)
    callback = LeafTrainerCallback({"pixel_values": x, "labels": torch.arange(5) % 3})
    callback.on_train_begin(args, state, None, model=model)
    callback.on_step_begin(args, state, None, model=model)
    state.global_step = 1
    callback.on_step_begin(args, state, None, model=model)
    other_process = SimpleNamespace(is_world_process_zero=False, global_step=2)
    callback.on_train_end(args, other_process, None, model=model)
    assert callback.monitor.history["step"] == [0]
    assert callback.monitor.interval == 40  # 5 inputs of 3 classes, 8 examples per step
    callback.on_train_end(args, state, None, model=model)
    logged = scalars(tmp_path)["leaf/trace_mean"]
    trace = float(LocalDataMatrix.at(model, x).trace().mean())
    assert logged == {0: pytest.approx(trace, rel=1e-5), 1: pytest.approx(trace, rel=1e-5)}
    # The weights of the best checkpoint are those of another step.
    state.global_step, args.load_best_model_at_end = 2, True
    callback.on_train_end(args, state, None, model=model)
    assert callback.monitor.history["step"] == [0, 1]


@pytest.mark.usefixtures("without_transformers")
def test_token_ids_are_refused_with_the_call_that_works() -> None:
    ids = torch.randint(50, (3, 7))
    batch = {"input_ids": ids, "attention_mask": torch.ones(3, 7), "labels": torch.arange(3)}
    for tokens in (batch | {"attention_mask": torch.ones(3, 7).long()}, {"input_ids": ids}):
        with pytest.raises(LeafError, match=r"'inputs_embeds': model\.get_input_embeddings"):
            LeafTrainerCallback(tokens)

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 3)

        def forward(self, input_ids: Any = None, inputs_embeds: Any = None) -> Any:
            assert input_ids is None
            return SimpleNamespace(logits=self.head(inputs_embeds.mean(1)))

    embeddings = nn.Embedding(50, 8)(ids).detach()
    callback = LeafTrainerCallback({"inputs_embeds": embeddings, "labels": torch.arange(3)})
    row = callback.monitor.measure(Embedded(), 0)
    assert row is not None
    assert row["trace_mean"] > 0


def test_folder_is_that_of_the_tensorboard_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    runs = tmp_path / "runs"
    assert log_dir_of(arguments(tmp_path)) == str(runs / "leaf")
    for i, name in enumerate(("earlier", "now")):
        (runs / name).mkdir(parents=True)
        (runs / name / "events.out.tfevents.1").touch()
        os.utime(runs / name, (i, i))
    assert log_dir_of(arguments(tmp_path)) == str(runs / "now")
    assert log_dir_of(arguments(tmp_path, logging_dir="logs")) == "logs"
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path))
    assert log_dir_of(arguments(tmp_path)) == str(tmp_path)


def train(folder: Path, *callbacks: Any) -> list[torch.Tensor]:
    """Train a small vision transformer and return its weights and the random stream."""
    from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    images = torch.rand(24, 1, 8, 8)
    data = [{"pixel_values": image, "labels": i % 3} for i, image in enumerate(images)]
    model = ViTForImageClassification(ViTConfig(**VIT))
    args = TrainingArguments(
        output_dir=str(folder), max_steps=4, per_device_train_batch_size=4, use_cpu=True,
        gradient_accumulation_steps=2, report_to=["tensorboard"], save_strategy="no",
        logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, args, train_dataset=data, callbacks=list(callbacks)).train()
    return [*model.state_dict().values(), torch.get_rng_state()]


@needs_transformers
@pytest.mark.filterwarnings("ignore")
def test_trainer_is_bitwise_identical_and_logs_into_its_run(tmp_path: Path) -> None:
    probe = {"pixel_values": torch.rand(5, 1, 8, 8), "labels": torch.arange(5) % 3}
    callback = LeafTrainerCallback(probe, every_n_steps=2)
    with_leaf, without = train(tmp_path / "with", callback), train(tmp_path / "without")
    assert all(torch.equal(*pair) for pair in zip(with_leaf, without, strict=True))
    assert callback.monitor.history["step"] == [0, 2, 4]
    (run,) = (tmp_path / "with" / "runs").iterdir()
    logged = scalars(run)
    assert logged["leaf/trace_mean"].keys() == {0, 2, 4}
    assert "train/loss" in logged


@needs_transformers
@pytest.mark.filterwarnings("ignore")
def test_a_callback_that_draws_random_numbers_changes_the_training(tmp_path: Path) -> None:
    """Negative control."""
    from transformers import TrainerCallback

    class Drawing(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            torch.rand(1)

    drawn, plain = train(tmp_path / "drawn", Drawing()), train(tmp_path / "plain")
    assert not all(torch.equal(*pair) for pair in zip(drawn, plain, strict=True))


@needs_transformers
@pytest.mark.filterwarnings("ignore")
def test_an_error_does_not_end_the_trainer(tmp_path: Path) -> None:
    callback = LeafTrainerCallback(torch.rand(5, 2, 8, 8))  # two channels instead of one
    with pytest.warns(UserWarning, match=r"LeafMonitor\(name='leaf'\) has switched itself off"):
        train(tmp_path, callback)
    assert callback.monitor.history["step"] == []
