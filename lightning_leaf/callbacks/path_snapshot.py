"""What the snapshot callbacks share: when to take paths, and where to send them."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from lightning_leaf.callbacks.base import LeafCallback, OnError, checked_count, checked_length
from lightning_leaf.callbacks.monitor import LocalDataMatrixMonitor
from lightning_leaf.callbacks.triggers import Moment, When, triggers
from lightning_leaf.data.normalization import Bound, Normalization, input_bounds
from lightning_leaf.display.snapshots import Occasion, publish, save_files, snapshot_of
from lightning_leaf.errors import LeafError
from lightning_leaf.model.quiet import quiet, random_streams
from lightning_leaf.paths.leaf_path import LeafPath, SinglePath
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from tensorboard_plugin_leaf import Snapshot

    from lightning_leaf.data.batches import Examples

Normalize = Normalization | tuple[Bound, Bound] | nn.Module


class PathSnapshot(LeafCallback):
    """What both kinds of snapshots share: when, from which inputs, and to which loggers."""

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
        self.step_size = checked_length(step_size, "step_size")
        self.max_steps = checked_count(max_steps, "max_steps")
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
        """Sources and, where there are any, destinations."""

    @abstractmethod
    def _walk(self, module: nn.Module, rows: list[int], max_steps: int, chunk: int) -> LeafPath:
        """Take some of the paths."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and self._monitor(trainer) is None:
            for trigger in self.triggers:
                if trigger.needs_history:
                    raise LeafError(
                        f"The trigger {trigger.reason!r} reads what a LocalDataMatrixMonitor "
                        "measures; the trainer has none. Add LocalDataMatrixMonitor() to its "
                        "callbacks."
                    )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._session = None
        self._sources = self._destinations = None
        self._checkpoints = trainer_state.checkpoints_saved(trainer)
        self._checkpoint_hook_ran = False
        self._log_dir = trainer_state.log_dir(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Checkpoint callbacks that are not Lightning's own are seen by this alone.
        self._checkpoint_hook_ran = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._take_if_due(trainer, pl_module, batch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_if_due(trainer, pl_module, None, fit_ended=True)
        self._sources = self._destinations = None

    def _take_if_due(
        self, trainer: Trainer, module: LightningModule, batch: Any, fit_ended: bool = False
    ) -> None:
        if not self.active(trainer):
            return
        monitor = self._monitor(trainer)
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

    def _reason(self, moment: Moment) -> str | None:
        """Why to take a snapshot now; all ranks must agree, or they would wait for each other."""

        def reason() -> str | None:
            return next(
                (trigger.reason for trigger in self.triggers if trigger.fires(moment)), None
            )

        certain = all(trigger.same_on_all_ranks for trigger in self.triggers)
        return reason() if certain else self.processes.on_zero(reason)

    def _begin_session(self, start: int) -> None:
        self._session = f"{time.time_ns():016x}"
        # Another fit of the same trainer has the same weights at its start as the one before had at
        # its end; their snapshot stays.
        goes_on = 0 < start == self._last_taken
        self._session_start_step = start + goes_on
        if not goes_on:
            self._last_taken = -1

    def _prepare(self, trainer: Trainer, module: LightningModule, batch: Any) -> None:
        """Choose examples at the first step, where a batch is at hand, and try everything once: a
        mistake that would show at the end of fit shows now."""
        with quiet(module):
            self._sources, self._destinations = self.processes.like_zero(
                lambda: self._choose(trainer, module, batch)
            )
        self._walk_together(module, max_steps=0)

    def _walk_together(self, module: LightningModule, max_steps: int) -> LeafPath | None:
        """All paths, shared out over the ranks; returned on rank zero."""
        assert self._sources is not None
        rows = self.processes.share(len(self._sources))
        with quiet(module), self.processes.same_module(module) as measured:

            def paths(chunk: int) -> list[SinglePath]:
                return list(self._walk(measured, rows, max_steps, chunk)) if rows else []

            shares = self.processes.at_zero(lambda: self._chunks.run(paths))
        return None if shares is None else LeafPath(self.processes.merge(shares))

    def _rtol(self) -> float | None:
        """Every class where processes share the module: their projections must end together."""
        return 0 if self.processes.module_is_shared else None

    def _normalization(self) -> Normalization | None:
        """As given, else as found; a domain alone is in units of the inputs."""
        if self.normalize is not None or self.domain is not None or self._sources is None:
            return self.normalize
        return self._sources.normalization

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

    def _take(self, trainer: Trainer, module: LightningModule, moment: Moment, reason: str) -> None:
        path = self._walk_together(module, self.max_steps)

        def hand_out() -> None:
            assert path is not None
            with random_streams():
                self._hand_out(trainer, path, moment, reason)

        self.processes.on_zero(hand_out)

    def _hand_out(self, trainer: Trainer, path: LeafPath, moment: Moment, reason: str) -> None:
        assert self._sources is not None
        assert self._session is not None
        snapshot = snapshot_of(
            path,
            Occasion(
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

    def _monitor(self, trainer: Trainer) -> LocalDataMatrixMonitor | None:
        for callback in trainer_state.callbacks_of(trainer):
            if isinstance(callback, LocalDataMatrixMonitor):
                return callback
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_epoch = state_dict.get("epoch")
        self._last_taken = -1
        self._resumed = True
