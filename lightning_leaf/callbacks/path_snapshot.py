"""The base class of the snapshot callbacks: when to take paths, and where to send them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn
from typing_extensions import override

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.callbacks.base import LeafCallback
from lightning_leaf.callbacks.monitor import LocalDataMatrixMonitor
from lightning_leaf.callbacks.snapshot_publisher import SnapshotPublisher
from lightning_leaf.callbacks.snapshot_schedule import SnapshotSchedule
from lightning_leaf.callbacks.triggers import Moment, When, triggers
from lightning_leaf.callbacks.user_inputs import require_no_text
from lightning_leaf.callbacks.walk_messages import WalkMessages
from lightning_leaf.callbacks.walk_time import StepsAllowed, WalkTime, time_limit
from lightning_leaf.data.batches import Split
from lightning_leaf.data.normalization import Bound, Normalization, input_bounds
from lightning_leaf.display.second_opinion import SecondOpinion
from lightning_leaf.display.sessions import latest_session, note_session
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot
from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.matrix_free.data_matrix import PROJECTION_RTOL
from lightning_leaf.model.chunks import CHUNK_SIZE
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import ended_when, interrupted_when
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.quiet import quiet, random_streams
from lightning_leaf.model.unbuilt import require_built
from lightning_leaf.monitoring.advice import Task
from lightning_leaf.monitoring.messages import OnError
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.single_path import SinglePath
from lightning_leaf.trainer import state as trainer_state

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from tensorboard_plugin_leaf import Snapshot

    from lightning_leaf.data.batches import Examples

Normalize = Normalization | tuple[Bound, Bound] | nn.Module
DEV_RUN_STEPS = 2
"""Largest number of path steps under ``fast_dev_run``."""


class PathSnapshot(LeafCallback):
    """The base class of the snapshot callbacks.

    A subclass chooses the examples (``_choose``) and computes the paths (``_compute_paths``). See
    :class:`HorizontalPathSnapshot` for the arguments.
    """

    def __init__(
        self,
        when: When | Sequence[When],
        wanted: Any,
        *,
        step_size: float | None,
        max_steps: int,
        max_time: float | None,
        normalize: Normalize | None,
        domain: tuple[Bound, Bound] | None,
        forward: Forward | None,
        batch: Split | None,
        likelihood: Likelihood | None,
        class_names: Sequence[str] | None,
        exact: bool | None,
        name: str,
        save_files: bool | None,
        seed: int,
        chunk_size: int | None,
        on_error: OnError,
    ) -> None:
        super().__init__(
            name,
            forward=forward,
            batch=batch,
            likelihood=likelihood,
            class_names=class_names,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        self.triggers = triggers(when)
        require_no_text(wanted, self._inputs_name)
        self._wanted = wanted
        self.step_size = None if step_size is None else positive_number(step_size, "step_size")
        self.max_steps = whole_number(max_steps, "max_steps")
        self.max_time = None if max_time is None else positive_number(max_time, "max_time")
        self.exact = exact
        self.normalize = None if normalize is None else Normalization.of(normalize)
        self.domain = domain
        self.save_files = save_files
        self.seed = seed
        self.last_snapshot: Snapshot | None = None
        self._sources: Examples | None = None
        self._destinations: Examples | None = None
        self._schedule = SnapshotSchedule()
        self._is_prepared = False

    @abstractmethod
    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, Examples | None]:
        """Return the sources, and the destinations if there are any."""

    @abstractmethod
    def _compute_paths(
        self,
        classifier: Classifier,
        rows: list[int],
        chunk_size: int | None,
        steps: StepsAllowed,
    ) -> Sequence[SinglePath | None]:
        """Return the paths from the starts in these rows, None where there is none to compute."""

    def _starts(self) -> Examples:
        """Return the example at which each path starts: the sources."""
        assert self._sources is not None
        return self._sources

    def _second_opinions(
        self, module: LightningModule, path: LeafPath
    ) -> list[SecondOpinion] | None:
        """Return what another network predicts for the ends of the paths, if there is one."""
        return None

    def _report_missing(self, missing: int, count: int, step: int) -> None:
        """Report how many of the starts have no path."""

    def _longest_path(self) -> int:
        """Return the largest number of path steps."""
        return self.max_steps

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and _monitor_of(trainer) is None:
            for trigger in self.triggers:
                if trigger.needs_history:
                    raise LeafError(
                        f"The trigger {shown(trigger.reason)} reads the measurements of a "
                        "LocalDataMatrixMonitor, but the callbacks of the trainer contain none. "
                        "Add LocalDataMatrixMonitor() to the callbacks."
                    )

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._schedule.start_fit(trainer)
        self._sources = self._destinations = None
        self._is_prepared = False
        self._log_dir = trainer_state.log_dir(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._schedule.note_checkpoint()

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
        step = trainer_state.steps_taken(trainer)
        if not self.active(trainer, step):
            return
        monitor = _monitor_of(trainer)
        if monitor is not None:
            monitor.measure_if_due(trainer, module, batch, fit_ended=fit_ended)

        def due() -> tuple[Moment, str | None]:
            history = None if monitor is None else monitor.history
            moment = self._schedule.next_moment(trainer, history, fit_ended)
            if not self._is_prepared:
                self._prepare(trainer, module, batch)
            return moment, self._schedule.reason(self.triggers, moment, self.processes)

        guarded = partial(self.guarded, trainer=trainer, module=module, batch=batch, step=step)
        moment, reason = guarded(due, catch_ctrl_c=fit_ended) or (None, None)
        if moment is not None and reason is not None:
            guarded(partial(self._take, trainer, module, moment, reason), catch_ctrl_c=True)

    def _prepare(self, trainer: Trainer, module: LightningModule, batch: Any) -> None:
        """Choose the examples at the first step, where a batch is available.

        Also compute paths without steps, so that errors are raised now and not at the end of the
        fit.
        """
        self._task = Task("choosing", f"choosing the {self._inputs_name}")
        require_built(module)
        if self._sources is None:
            with quiet(module):  # reading a data set may draw random numbers
                self._sources, self._destinations = self.processes.broadcast(
                    lambda: self._choose(trainer, module, batch)
                )
            self._note_origin(trainer, self._wanted)
        self._judge(trainer, module, self._sources)
        self._task = self._calling(module, self._sources.inputs, "preparing the paths")
        self._all_paths(module, StepsAllowed(0))
        self._report_judgement()
        self._is_prepared = True

    def _all_paths(
        self, module: LightningModule, steps: StepsAllowed
    ) -> list[SinglePath | None] | None:
        """Return the path from each start on rank zero; each process computes its share."""
        rows = self.processes.share(len(self._starts()))
        with self._measuring(module) as classifier:

            def paths(chunk_size: int | None) -> list[SinglePath | None]:
                return (
                    list(self._compute_paths(classifier, rows, chunk_size, steps)) if rows else []
                )

            shares = self.processes.gather(lambda: self._chunks.run(paths))
        return None if shares is None else self.processes.merge(shares)

    def _rtol(self) -> float | None:
        """Return the tolerance of projections; 0 takes all classes, None is the default.

        Iterative projections could end after different numbers of passes in processes that must
        make the same passes because they share a module.
        """
        if self.exact or self.processes.module_is_sharded:
            return 0
        return None if self.exact is None else PROJECTION_RTOL

    def _normalization(self) -> Normalization | None:
        """Return ``normalize``, or else the normalization of the data set.

        A ``domain`` without ``normalize`` is in units of the inputs, so there is none.
        """
        if self.normalize is not None or self.domain is not None or self._sources is None:
            return self.normalize
        return self._sources.normalization

    def _take(self, trainer: Trainer, module: LightningModule, moment: Moment, reason: str) -> None:
        assert self._sources is not None
        metadata = self._schedule.begin_snapshot(
            self.name, moment, reason, self.fit.session(trainer)
        )
        if self.fit.weights.averaged:
            averaged = moment.fit_ended and self._weights_are_averaged(module)
            weights = "averaged" if averaged else "trained"
            metadata = replace(metadata, reason=f"{reason}, {weights} weights")
        self._task = self._calling(
            module, self._sources.inputs, f"computing the paths at step {moment.step}"
        )
        steps = StepsAllowed(
            DEV_RUN_STEPS if trainer_state.is_dev_run(trainer) else None,
            trainer_state.shows_progress(trainer),
        )
        with self._limited(trainer, moment.step, steps):
            paths = self._all_paths(module, steps)
        self._task = Task("publishing", f"publishing the snapshot of step {moment.step}")

        def publish_on_rank_zero() -> None:
            assert paths is not None
            found = {row: path for row, path in enumerate(paths) if path is not None}
            if len(found) < len(paths):
                self._report_missing(len(paths) - len(found), len(paths), moment.step)
            if found:
                with random_streams():  # a logger may draw random numbers
                    self._publish(trainer, module, found, metadata)

        self.processes.on_rank_zero(publish_on_rank_zero)
        self._has_measured()

    @contextmanager
    def _limited(self, trainer: Trainer, step: int, steps: StepsAllowed) -> Iterator[None]:
        """End the paths at the time limit or after Ctrl-C, and announce paths that take long."""
        count, longest = len(self._starts()), steps.of(self._longest_path())
        at_once = self._chunks.size or CHUNK_SIZE
        rounds = longest * math.ceil(len(self.processes.share(count)) / at_once)
        limit = time_limit(self.max_time, self.fit.elapsed())
        messages = WalkMessages(self.description, step, count, longest, rounds, limit)
        walk = WalkTime(
            limit,
            rounds,
            announce=lambda seconds: messages.announce(seconds, self.fit.notices),
            report=lambda taken: messages.report(taken, has_bar=steps.progress),
        )
        ended = self.processes.shared_flag(lambda: walk.is_over() or self._ctrl_c())
        with interrupted_when(self._flag(trainer, lambda: False)), ended_when(ended):
            yield

    def _publish(
        self,
        trainer: Trainer,
        module: LightningModule,
        paths: Mapping[int, SinglePath],  # by the rows of their starts
        metadata: SnapshotMetadata,
    ) -> None:
        path, rows = LeafPath(list(paths.values())), list(paths)
        starts = self._starts().select(rows)
        ends = None if self._destinations is None else self._destinations.select(rows)
        bounds = input_bounds(path.start, path[0].normalization, self.domain)
        opinions = self._second_opinions(module, path)
        snapshot = make_snapshot(path, metadata, starts, ends, bounds, opinions)
        self.last_snapshot = snapshot
        publisher = SnapshotPublisher(self.description, self._log_dir, self.save_files)
        publisher.publish(snapshot, path, trainer.loggers, self.fit.notices)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._schedule.epoch, "session": latest_session()}

    @override
    def _restore(self, state: Mapping[Any, Any]) -> None:
        epoch = state.get("epoch")
        if epoch is not None:
            whole_number(epoch, "epoch", at_least=0)
        note_session(state.get("session"))
        self._schedule.resume(epoch)

    @override
    def _forget(self) -> None:
        self._schedule.resume(None)


def _monitor_of(trainer: Trainer) -> LocalDataMatrixMonitor | None:
    callbacks = trainer_state.callbacks_of(trainer)
    return next((each for each in callbacks if isinstance(each, LocalDataMatrixMonitor)), None)
