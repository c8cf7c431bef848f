"""A callback for the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from typing_extensions import override

from lightning_leaf.data.batches import Split
from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.rank_kinds import Ranks
from lightning_leaf.loops.monitor import LeafMonitor
from lightning_leaf.loops.writer import LeafWriter
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.monitoring.messages import OnError

if TYPE_CHECKING:
    from transformers import TrainerCallback
else:
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError:
        TrainerCallback = None

EMBEDDINGS, TOKENS = "inputs_embeds", "input_ids"
_Base: Any = TrainerCallback or object


class LeafTrainerCallback(_Base):  # type: ignore[misc]
    r"""Callback that measures the local data matrix in a ``Trainer`` of transformers.

    It measures like :class:`LeafMonitor`: at the first step, at regular steps, and at the end of
    the training. It writes to the folder in which the Trainer's own ``TensorBoardCallback`` writes;
    TensorBoard shows both as one run. Training with the callback is bitwise identical to training
    without it, and its errors never stop a training.

    Token ids cannot be differentiated. For text, pass embeddings as ``inputs_embeds``; the model is
    then called with this keyword::

        ids = torch.stack([eval_dataset[i]["input_ids"] for i in range(16)])
        embeddings = model.get_input_embeddings()(ids).detach()
        callback = LeafTrainerCallback({"inputs_embeds": embeddings})

    Args:
        probe: The inputs to measure: a batch as the data collator makes it, for example
            ``collator([eval_dataset[i] for i in range(32)])``, or a tensor.
        every_n_steps: Optimizer steps between measurements. Default: see :class:`LeafMonitor`.
        log_dir: The folder to write to. Default: that of the Trainer's TensorBoard logs.
        ranks: See :class:`LeafMonitor`, as the other arguments.
        name: Prefix of the names.
        forward: How to call the model.
        batch: Where inputs and labels are in ``probe``.
        likelihood: What the scores mean.
        class_names: Names of all classes.
        exact: Whether to use all classes even if there are more than 160.
        seed: Seed of the draws of estimates.
        chunk_size: Inputs per forward pass.
        on_error: ``"warn"``: warn after an error. ``"raise"``: raise it, which ends the training.

    Attributes:
        monitor: The :class:`LeafMonitor`, with the history.
        writer: The :class:`LeafWriter`, for snapshots; None before the training.

    Raises:
        LeafError: If an argument is out of its range, or if the probe holds only token ids.
        ModuleNotFoundError: If transformers is not installed.

    Example:
        .. code-block:: python

            callback = LeafTrainerCallback(collator([eval_dataset[i] for i in range(32)]))
            trainer = Trainer(model, args, train_dataset=train_dataset, callbacks=[callback])
            trainer.train()
            callback.monitor.plot()
    """

    def __init__(
        self,
        probe: Any,
        every_n_steps: int | None = None,
        *,
        log_dir: str | Path | None = None,
        ranks: Ranks = ("entropy",),
        name: str = "leaf",
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        if TrainerCallback is None:
            raise ModuleNotFoundError(
                "LeafTrainerCallback needs transformers, which is not installed. Run: "
                "python -m pip install transformers accelerate"
            )
        super().__init__()
        if batch is None and isinstance(probe, Mapping):
            batch = _split_of(probe)
            if batch is not None and forward is None:
                forward = _with_embeddings
        self.monitor = LeafMonitor(
            probe,
            every_n_steps=every_n_steps,
            ranks=ranks,
            name=name,
            forward=forward,
            batch=batch,
            likelihood=likelihood,
            class_names=class_names,
            exact=exact,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        self.writer: LeafWriter | None = None
        self._log_dir = log_dir
        self._on_error = on_error

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Choose the folder."""
        with self.monitor._guard.catching("choosing the folder of the logs"):
            self.writer = LeafWriter(self._log_dir or log_dir_of(args), on_error=self._on_error)
            self.monitor.writer = self.writer

    @override
    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Measure the weights before this step."""
        if state.is_world_process_zero:
            examples = args.per_device_train_batch_size * args.gradient_accumulation_steps
            self.monitor.measure_if_due(model, state.global_step, examples_per_step=examples)

    @override
    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do not count the time of an evaluation as that of training steps."""
        self.monitor._interval.timer.interrupt()

    @override
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do not count the time of saving a checkpoint as that of training steps."""
        self.monitor._interval.timer.interrupt()

    @override
    def on_train_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Measure the last weights, unless those of an earlier checkpoint have replaced them."""
        if state.is_world_process_zero and not args.load_best_model_at_end:
            self.monitor.measure(model, state.global_step)
        if self.writer is not None:
            self.writer.close()


def log_dir_of(args: Any) -> str:
    """Return the folder in which the Trainer's ``TensorBoardCallback`` writes.

    It runs before this callback, in this process, and writes to a folder with the time in its name.

    Args:
        args: The ``TrainingArguments``.
    """
    given = os.environ.get("TENSORBOARD_LOGGING_DIR") or getattr(args, "logging_dir", None)
    if given:
        return os.path.expanduser(given)
    runs = Path(args.output_dir) / "runs"
    folders = [folder for folder in runs.glob("*") if any(folder.glob("events.out.tfevents.*"))]
    reports = "tensorboard" in args.report_to or "all" in args.report_to
    if reports and folders:
        # Not by time alone: the clock can be behind the folders of earlier trainings.
        own = [folder for folder in folders if any(folder.glob(f"*.{os.getpid()}.*"))]
        return str(max(own or folders, key=lambda folder: folder.stat().st_mtime))
    return str(runs / "leaf")


def _split_of(probe: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the keys of embeddings and labels; None if the probe holds no text.

    Raises:
        LeafError: If it holds only token ids.
    """
    if EMBEDDINGS in probe:
        return (EMBEDDINGS, "labels") if "labels" in probe else (EMBEDDINGS,)
    tensors = [value for value in probe.values() if isinstance(value, Tensor)]
    if TOKENS in probe and not any(tensor.is_floating_point() for tensor in tensors):
        raise LeafError(
            "probe expects inputs that can be differentiated; got token ids (input_ids). Pass "
            "embeddings: LeafTrainerCallback({'inputs_embeds': "
            "model.get_input_embeddings()(input_ids).detach()})."
        )
    return None


def _with_embeddings(model: Any, x: Tensor) -> Any:
    return model(inputs_embeds=x)
