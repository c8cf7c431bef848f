"""When a snapshot callback takes snapshots, over all fits of a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_leaf.callbacks.triggers import History, Moment, Trigger
from lightning_leaf.display.snapshots import SnapshotMetadata
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


class SnapshotSchedule:
    """Decides at each moment of a training whether to take a snapshot, at most one per step.

    It records what happened since the last moment: the end of an epoch, a saved checkpoint.

    Attributes:
        epoch: Epochs completed at the last moment; None before the first.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self._last_taken = -1  # the step of the last snapshot
        self._checkpoints: tuple[Any, ...] = ()
        self._checkpoint_saved = False
        self._resumed = False
        self._has_begun = False  # in this fit
        self._session_start_step = 0

    def start_fit(self, trainer: Trainer) -> None:
        """Start a fit."""
        self._has_begun = False
        self._checkpoints = trainer_state.checkpoints_saved(trainer)
        self._checkpoint_saved = False

    def resume(self, epoch: int | None) -> None:
        """Continue the schedule of a checkpoint, given its number of completed epochs."""
        self.epoch = epoch
        self._last_taken = -1
        self._resumed = True

    def note_checkpoint(self) -> None:
        """Note that a checkpoint is being saved.

        Only the hook that calls this method detects checkpoint callbacks that are not Lightning's
        own.
        """
        self._checkpoint_saved = True

    def next_moment(self, trainer: Trainer, history: History | None, fit_ended: bool) -> Moment:
        """Return the present moment, and begin to record what happens until the next one.

        Args:
            trainer: The trainer.
            history: The history of the monitor, if the trainer has one.
            fit_ended: Whether these are the last weights of the fit.
        """
        step = trainer_state.steps_taken(trainer)
        epoch = trainer_state.epochs_completed(trainer)
        epoch_ended = self.epoch is not None and epoch > self.epoch
        checkpoints = trainer_state.checkpoints_saved(trainer)
        saved = self._checkpoint_saved or checkpoints != self._checkpoints or self._resumed
        self.epoch, self._checkpoints = epoch, checkpoints
        self._checkpoint_saved = self._resumed = False
        if not self._has_begun:
            self._begin(step)
        return Moment(
            step=step,
            epoch=epoch,
            epoch_ended=epoch_ended,
            checkpoint_saved=saved,
            fit_ended=fit_ended,
            history=history,
        )

    def _begin(self, start: int) -> None:
        self._has_begun = True
        # A second fit of the same trainer starts with the weights at which the first one ended.
        # The snapshot of these weights remains valid.
        continues = 0 < start == self._last_taken
        self._session_start_step = start + continues
        if not continues:
            self._last_taken = -1

    def reason(
        self, triggers: Sequence[Trigger], moment: Moment, processes: Processes
    ) -> str | None:
        """Return why to take a snapshot now, or None. All processes decide alike.

        Args:
            triggers: The triggers.
            moment: The present moment.
            processes: The processes of the training.
        """

        def first_reason() -> str | None:
            return next((trigger.reason for trigger in triggers if trigger.fires(moment)), None)

        alike = all(trigger.same_on_all_ranks for trigger in triggers)
        reason = first_reason() if alike else processes.on_rank_zero(first_reason)
        return None if moment.step == self._last_taken else reason

    def begin_snapshot(
        self, name: str, moment: Moment, reason: str, session: str
    ) -> SnapshotMetadata:
        """Return the metadata of a snapshot that is taken now; later ones need a later step.

        Args:
            name: Name of the callback.
            moment: The present moment.
            reason: Why the snapshot is taken.
            session: Identifier of this fit.
        """
        self._last_taken = moment.step
        return SnapshotMetadata(
            name=name,
            step=moment.step,
            epoch=moment.epoch,
            reason=reason,
            session=session,
            session_start_step=self._session_start_step,
        )
