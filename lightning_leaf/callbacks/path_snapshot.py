"""The base class of the snapshot callbacks: when to take paths, and where to send them."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from typing_extensions import override

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.callbacks.base import LeafCallback, OnError
from lightning_leaf.callbacks.monitor import LocalDataMatrixMonitor
from lightning_leaf.callbacks.triggers import Moment, When, triggers
from lightning_leaf.data.normalization import Bound, Normalization, input_bounds
from lightning_leaf.display.files import save_files
from lightning_leaf.display.loggers import publish
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot
from lightning_leaf.errors import LeafError
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.quiet import quiet, random_streams
from lightning_leaf.paths.leaf_path import LeafPath, SinglePath
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from tensorboard_plugin_leaf import Snapshot

    from lightning_leaf.data.batches import Examples

Normalize = Normalization | tuple[Bound, Bound] | nn.Module


class PathSnapshot(LeafCallback):
    """The base class of both snapshot callbacks.

    A subclass chooses the examples (``_choose``) and computes the paths (``_compute_paths``). See
    :class:`HorizontalPathSnapshot` for the arguments.
    """

    def __init__(
        self,
        when: When | Sequence[When],
        *,
        step_size: float | None,
        max_steps: int,
        normalize: Normalize | None,
        domain: tuple[Bound, Bound] | None,
        name: str,
        save_files: bool,
        seed: int,
        chunk_size: int | None,
        on_error: OnError,
    ) -> None:
        super().__init__(name, chunk_size, on_error)
        self.triggers = triggers(when)
        self.step_size = None if step_size is None else positive_number(step_size, "step_size")
        self.max_steps = whole_number(max_steps, "max_steps")
        self.normalize = None if normalize is None else Normalization.of(normalize)
        self.domain = domain
        self.save_files = save_files
        self.seed = seed
        self.last_snapshot: Snapshot | None = None
        self._sources: Examples | None = None
        self._destinations: Examples | None = None
        self._last_epoch: int | None = None
        self._last_taken = -1
        self._resumed = False
        self._session: str | None = None
        self._session_start_step = 0

    @abstractmethod
    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, Examples | None]:
        """Return the sources, and the destinations if there are any."""

    @abstractmethod
    def _compute_paths(
        self, classifier: Classifier, rows: list[int], max_steps: int, chunk_size: int
    ) -> LeafPath:
        """Return the paths from the sources in these rows."""

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and _monitor_of(trainer) is None:
            for trigger in self.triggers:
                if trigger.needs_history:
                    raise LeafError(
                        f"The trigger {trigger.reason!r} reads the measurements of a "
                        "LocalDataMatrixMonitor, but the callbacks of the trainer contain none. "
                        "Add LocalDataMatrixMonitor() to the callbacks."
                    )

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._session = None
        self._sources = self._destinations = None
        self._checkpoints = trainer_state.checkpoints_saved(trainer)
        self._checkpoint_hook_ran = False
        self._log_dir = trainer_state.log_dir(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Only this hook detects checkpoint callbacks that are not Lightning's own.
        self._checkpoint_hook_ran = True

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._take_if_due(trainer, pl_module, batch)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_if_due(trainer, pl_module, None, fit_ended=True)
        self._sources = self._destinations = None

    def _take_if_due(
        self, trainer: Trainer, module: LightningModule, batch: Any, fit_ended: bool = False
    ) -> None:
        if not self.active(trainer):
            return
        monitor = _monitor_of(trainer)
        if monitor is not None:
            monitor.measure_if_due(trainer, module, batch, fit_ended=fit_ended)
        with self.guarded(trainer):
            moment = self._moment(trainer, monitor, fit_ended)
            if self._session is None:
                self._begin_session(moment.step)
            if self._sources is None:
                self._prepare(trainer, module, batch)
            reason = self._reason(moment)
            if reason is not None and moment.step != self._last_taken:
                self._last_taken = moment.step
                self._take(trainer, module, moment, reason)

    def _moment(
        self, trainer: Trainer, monitor: LocalDataMatrixMonitor | None, fit_ended: bool
    ) -> Moment:
        epoch = trainer_state.epochs_completed(trainer)
        epoch_ended = self._last_epoch is not None and epoch > self._last_epoch
        checkpoints = trainer_state.checkpoints_saved(trainer)
        saved = self._checkpoint_hook_ran or checkpoints != self._checkpoints or self._resumed
        self._last_epoch, self._checkpoints = epoch, checkpoints
        self._checkpoint_hook_ran = self._resumed = False
        return Moment(
            step=trainer_state.steps_taken(trainer),
            epoch=epoch,
            epoch_ended=epoch_ended,
            checkpoint_saved=saved,
            fit_ended=fit_ended,
            history=None if monitor is None else monitor.history,
        )

    def _begin_session(self, start: int) -> None:
        self._session = f"{time.time_ns():016x}"
        # A second fit of the same trainer starts with the weights at which the first one ended.
        # The snapshot of these weights remains valid.
        continues = 0 < start == self._last_taken
        self._session_start_step = start + continues
        if not continues:
            self._last_taken = -1

    def _prepare(self, trainer: Trainer, module: LightningModule, batch: Any) -> None:
        """Choose the examples at the first step, where a batch is available.

        Also compute paths without steps, so that errors are raised now and not at the end of the
        fit.
        """
        with quiet(module):  # reading a data set may draw random numbers
            self._sources, self._destinations = self.processes.broadcast(
                lambda: self._choose(trainer, module, batch)
            )
        self._all_paths(module, max_steps=0)

    def _reason(self, moment: Moment) -> str | None:
        """Return why to take a snapshot now, or None. All processes must decide alike."""

        def reason() -> str | None:
            return next(
                (trigger.reason for trigger in self.triggers if trigger.fires(moment)), None
            )

        alike = all(trigger.same_on_all_ranks for trigger in self.triggers)
        return reason() if alike else self.processes.on_rank_zero(reason)

    def _all_paths(self, module: LightningModule, max_steps: int) -> LeafPath | None:
        """Return all paths on rank zero; each process computes its share."""
        assert self._sources is not None
        rows = self.processes.share(len(self._sources))
        with self.processes.measuring(module) as classifier:

            def paths(chunk_size: int) -> list[SinglePath]:
                return (
                    list(self._compute_paths(classifier, rows, max_steps, chunk_size))
                    if rows
                    else []
                )

            shares = self.processes.gather(lambda: self._chunks.run(paths))
        return None if shares is None else LeafPath(self.processes.merge(shares))

    def _rtol(self) -> float | None:
        """Return the tolerance of projections: 0 if the module is sharded, else the default.

        With 0 a projection takes all classes. Iterative projections could end after different
        numbers of passes in processes that must make the same passes.
        """
        return 0 if self.processes.module_is_sharded else None

    def _normalization(self) -> Normalization | None:
        """Return ``normalize``, or else the normalization of the data set.

        A ``domain`` without ``normalize`` is in units of the inputs, so there is none.
        """
        if self.normalize is not None or self.domain is not None or self._sources is None:
            return self.normalize
        return self._sources.normalization

    def _take(self, trainer: Trainer, module: LightningModule, moment: Moment, reason: str) -> None:
        path = self._all_paths(module, self.max_steps)

        def publish_on_rank_zero() -> None:
            assert path is not None
            with random_streams():  # a logger may draw random numbers
                self._publish(trainer, path, moment, reason)

        self.processes.on_rank_zero(publish_on_rank_zero)

    def _publish(self, trainer: Trainer, path: LeafPath, moment: Moment, reason: str) -> None:
        assert self._sources is not None
        assert self._session is not None
        snapshot = make_snapshot(
            path,
            SnapshotMetadata(
                name=self.name,
                step=moment.step,
                epoch=moment.epoch,
                reason=reason,
                session=self._session,
                session_start_step=self._session_start_step,
            ),
            self._sources,
            self._destinations,
            input_bounds(self._sources.inputs, self._normalization(), self.domain),
        )
        self.last_snapshot = snapshot
        publish(snapshot, path, trainer.loggers)
        if self.save_files and self._log_dir is not None:
            save_files(snapshot, path, self._log_dir)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._last_epoch}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_epoch = state_dict.get("epoch")
        self._last_taken = -1
        self._resumed = True


def _monitor_of(trainer: Trainer) -> LocalDataMatrixMonitor | None:
    callbacks = trainer_state.callbacks_of(trainer)
    return next((each for each in callbacks if isinstance(each, LocalDataMatrixMonitor)), None)
