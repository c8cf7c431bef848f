"""Write measurements and paths from a training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard_plugin_leaf import Snapshot
from torch import Tensor

from lightning_leaf.data.batches import Examples
from lightning_leaf.data.normalization import Bound, input_bounds
from lightning_leaf.display.files import save_files
from lightning_leaf.display.loggers import publish, write_summary
from lightning_leaf.display.second_opinion import Judge, second_opinions
from lightning_leaf.display.sessions import clock_warning, new_session
from lightning_leaf.display.snapshots import SnapshotMetadata, make_snapshot
from lightning_leaf.errors import LeafError, result_of, shown
from lightning_leaf.loops.guard import Guard
from lightning_leaf.loops.processes import is_rank_zero
from lightning_leaf.model.quiet import random_streams
from lightning_leaf.monitoring.messages import OnError, warn
from lightning_leaf.monitoring.reading import Reading
from lightning_leaf.paths.leaf_path import LeafPath


class LeafWriter:
    """Writer of measurements and snapshots for training loops without a Lightning trainer.

    TensorBoard shows them in the LEAF tab and under Time Series. Of several processes only the
    first one writes. Errors never stop a training: after an error the writer warns once with its
    cause, and writes no more. The global random streams are not changed.

    Args:
        target: A directory (path, or URL such as ``s3://bucket/runs/1``); a ``SummaryWriter`` of
            ``torch.utils.tensorboard``; or a logger of Lightning, such as ``fabric.logger``.
        on_error: ``"warn"``: warn after an error. ``"raise"``: raise it, which ends the training.

    Raises:
        LeafError: If the target is none of these.

    Example:
        >>> import tempfile, torch
        >>> from lightning_leaf import LeafWriter, horizontal_path
        >>> model = torch.nn.Linear(4, 3)
        >>> path = horizontal_path(model, torch.zeros(1, 4), torch.ones(1, 4), max_steps=5)
        >>> with tempfile.TemporaryDirectory() as folder, LeafWriter(folder) as writer:
        ...     snapshot = writer.snapshot(path, step=100)
        >>> snapshot.name, snapshot.step, snapshot.paths[0].steps
        ('horizontal_path', 100, 5)
    """

    def __init__(self, target: str | Path | Any, *, on_error: OnError = "warn") -> None:
        from torch.utils.tensorboard import SummaryWriter

        is_known = isinstance(target, (str, Path, SummaryWriter)) or hasattr(target, "log_metrics")
        if not is_known:
            raise LeafError(
                "LeafWriter expects a directory, a torch.utils.tensorboard.SummaryWriter or a "
                f"logger of Lightning; got {type(target).__name__}. Use LeafWriter('runs/mnist')."
            )
        self._target: Any = target
        self._guard = Guard("LeafWriter", on_error)
        self._own: Any = None  # the SummaryWriter of a directory, once something is written
        self._session = ""  # once something is written
        self._start = 0

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by name.

        Args:
            values: The numbers.
            step: Number of optimizer steps taken.
        """
        if not self._guard.active or not is_rank_zero():
            return
        with self._guard.catching(f"writing numbers at step {shown(step)}"), random_streams():
            self._begin(step)
            writer = self._summary_writer()
            if writer is None:
                self._target.log_metrics(dict(values), step=step)
                return
            for name, value in values.items():
                writer.add_scalar(name, value, step)

    def snapshot(
        self,
        path: LeafPath | Callable[[], LeafPath],
        step: int,
        *,
        name: str | None = None,
        sources: Any = None,
        destinations: Any = None,
        class_names: Sequence[str] | None = None,
        domain: tuple[Bound, Bound] | None = None,
        judge: Judge | None = None,
        epoch: int = 0,
    ) -> Snapshot | None:
        """Write paths for the LEAF tab, or as pictures to a logger that shows no paths.

        Pass a function to have its errors caught, and to compute paths in the first process only:
        ``writer.snapshot(lambda: horizontal_path(model, starts, ends), step)``.

        Args:
            path: The paths, or a function without arguments that computes them.
            step: Number of optimizer steps taken.
            name: Prefix of the tag. Default: ``"horizontal_path"``, ``"prediction_path"`` or
                ``"orthogonal_walk"``.
            sources: The batch of the sources with their labels, for the titles.
            destinations: The batch of the destinations with their labels.
            class_names: Names of all classes.
            domain: The inputs that are black and white. Default: pixels 0 and 1 if the path was
                computed with ``normalize``, else the smallest and the largest value.
            judge: Another trained classifier, whose prediction for the last point of each path is
                written too; see :class:`PredictionPathSnapshot`. A function receives the points on
                the CPU.
            epoch: Number of epochs completed.

        Returns:
            The snapshot; None in other processes and after an error.
        """
        if not self._guard.active or not is_rank_zero():
            return None
        with self._guard.catching(f"taking a snapshot at step {shown(step)}"), random_streams():
            step = index(step)
            self._begin(step)
            if not isinstance(path, LeafPath):
                path = path()
            reading = Reading(class_names=class_names)
            starts = _examples(sources, path.start, reading, "sources")
            ends = None
            if path.end is not None:
                ends = _examples(destinations, path.end, reading, "destinations")
            opinions = None
            if judge is not None:
                opinions = second_opinions(judge, path, starts.class_names)
            snapshot = make_snapshot(
                path,
                SnapshotMetadata(
                    name=name or _default_name(path),
                    step=step,
                    epoch=epoch,
                    reason="step",
                    session=self._session,
                    session_start_step=self._start,
                ),
                starts,
                ends,
                input_bounds(path.start, path[0].normalization, domain),
                opinions,
            )
            self._publish(snapshot, path)
            return snapshot
        return None

    def close(self) -> None:
        """Write everything to the disk. A ``SummaryWriter`` that was passed stays open."""
        with self._guard.catching("closing the files"):
            writer = self._own or self._target
            if hasattr(writer, "flush"):
                writer.flush()
            if self._own is not None:
                self._own.close()
                self._own = None

    def __enter__(self) -> LeafWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self, step: int) -> None:
        """Begin a session at the first step. In the LEAF tab, earlier ones end there."""
        if self._session:
            return
        folders = [folder for folder in [self._folder()] if folder is not None]
        warning = clock_warning(folders)
        if warning is not None:
            warn(f"LeafWriter: {warning}")
        self._session, self._start = new_session(folders), step

    def _folder(self) -> str | None:
        """Return the folder or URL of the event files; None if the target is another logger."""
        if isinstance(self._target, (str, Path)):
            return str(self._target)
        folder = result_of(getattr, self._target, "log_dir", None)
        return None if folder is None else result_of(str, folder)

    def _summary_writer(self) -> Any:
        """Return the ``SummaryWriter``; None if the target is a logger."""
        from torch.utils.tensorboard import SummaryWriter

        if isinstance(self._target, SummaryWriter):
            return self._target
        if not isinstance(self._target, (str, Path)):
            return None
        if self._own is None:
            self._own = SummaryWriter(str(self._target))
        return self._own

    def _publish(self, snapshot: Snapshot, path: LeafPath) -> None:
        writer = self._summary_writer()
        if writer is not None:
            write_summary(snapshot, writer)
        elif not publish(snapshot, path, [self._target]):
            folder = getattr(self._target, "log_dir", None)
            if folder is None:
                raise LeafError(
                    f"{type(self._target).__name__} takes neither paths nor pictures and has no "
                    "folder for files. Use LeafWriter('runs/mnist') for snapshots."
                )
            save_files(snapshot, path, str(folder))


def _examples(batch: Any, points: Tensor, reading: Reading, argument: str) -> Examples:
    if batch is None:
        names = None if reading.class_names is None else tuple(reading.class_names)
        return Examples(points, class_names=names)
    examples = reading.examples(batch)
    if len(examples) != len(points):
        raise LeafError(
            f"{argument} expects one example for each of the {len(points)} paths; got "
            f"{len(examples)}. Pass the batch (inputs, labels) of the paths."
        )
    return examples


def _default_name(path: LeafPath) -> str:
    return "orthogonal_walk" if path.kind == "orthogonal" else f"{path.kind}_path"
