"""The loop that computes a batch of horizontal paths or orthogonal walks."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_leaf.drawing.plotting import KIND_NAMES
from lightning_leaf.geometry.fisher_rao import fisher_rao_distance
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.interruption import end_requested, raise_if_interrupted
from lightning_leaf.paths.block import COLUMNS, Block, on_host
from lightning_leaf.paths.ends import Ends
from lightning_leaf.paths.goal import Goal, Progress
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.path_step import PathStep
from lightning_leaf.paths.progress import tqdm
from lightning_leaf.paths.projection_settings import ProjectionSettings
from lightning_leaf.paths.recorder import Recorder
from lightning_leaf.paths.settings import PathSettings
from lightning_leaf.paths.single_path import SinglePath
from lightning_leaf.paths.threads import Threads

STEPS_IN_A_BLOCK = 16
"""Path steps between two reads of the results, which make the host wait for the accelerator."""
STEPS_IN_THE_FIRST_BLOCK = 2
"""Path steps after which the number of threads is first reconsidered."""
NUMBERS_IN_A_BLOCK = 2**25
"""Most numbers in the points of a block: 128 MiB in float32. Large inputs have shorter blocks."""


def walk(
    classifier: Classifier,
    start: Tensor,  # (N, ...)
    goal: Goal,
    progress: Progress,
    settings: PathSettings,
    projection: ProjectionSettings,
    shows_progress: bool,
) -> LeafPath:
    """Compute all paths in batches. When a path ends, the next one takes its place.

    If :func:`~lightning_leaf.model.interruption.ended_when` requests an end, all paths end after
    the steps taken so far. Paths that have not begun then have no steps.

    Args:
        classifier: An open classifier.
        start: Starting points of all paths.
        goal: Goal of all paths.
        progress: When a path no longer makes progress.
        settings: Settings of all paths.
        projection: How projections on D_x are computed.
        shows_progress: Show a progress bar on a terminal or in a notebook.

    Raises:
        LeafError: If the classifier cannot be used.
        Interrupted: If an interruption was requested; see
            :func:`~lightning_leaf.model.interruption.interrupted_when`.
    """
    classes = classifier.require_usable(start[: projection.chunk_size])
    projectors, size = projection.choose(
        classifier, classes, start, clamps=settings.bounds is not None
    )
    size = min(size, len(start))
    ends = Ends(settings, progress)
    paths: dict[int, SinglePath] = {}
    threads = Threads(start.device)
    bar = tqdm(
        total=len(start) * settings.max_steps,
        desc=f"{KIND_NAMES[settings.kind]}s",
        unit="step",
        disable=None if shows_progress else True,
        delay=0.5,
    )
    with bar, threads.restored():
        batch = _Batch(PathStep(projectors, goal, settings), start, ends, settings, size)
        batch.add(list(range(size)))
        added = size
        while len(batch):
            with threads.block(len(batch) * batch.block_length):
                taken, ended = batch.advance()
            bar.update(taken)
            raise_if_interrupted()
            for row, path in ended:
                paths[row] = path
                bar.update(settings.max_steps - path.steps)
            waiting = range(added, min(len(start), added + size - len(batch)))
            batch.add(list(waiting))
            added += len(waiting)
    return LeafPath([paths[row] for row in range(len(start))])


class _Batch:
    """Paths that are computed together, each at its own step.

    Args:
        step: One step of the paths.
        start: Starting points of all paths, ``(N, ...)``.
        ends: Decides which paths end.
        settings: Settings of all paths.
        size: Largest number of paths.

    Attributes:
        block_length: Number of steps in the next block.
    """

    def __init__(
        self, step: PathStep, start: Tensor, ends: Ends, settings: PathSettings, size: int
    ) -> None:
        self._step = step
        self._start = start
        self._ends = ends
        self._settings = settings
        self._recorder = Recorder(settings, start, size)
        fitting = NUMBERS_IN_A_BLOCK // (size * start[0].numel())
        self._longest_block = max(1, min(STEPS_IN_A_BLOCK, fitting))
        self.block_length = min(STEPS_IN_THE_FIRST_BLOCK, self._longest_block)
        self._x = start[:0]
        self._last: Tensor | None = None  # log-probabilities at the last points

    def __len__(self) -> int:
        return len(self._x)

    def add(self, rows: list[int]) -> None:
        """Add the paths of the given rows, at their starting points."""
        if not rows:
            return
        chosen = torch.tensor(rows, device=self._start.device)
        self._x = torch.cat([self._x, self._start[chosen]])
        if self._last is not None:  # added paths have no last point
            self._last = torch.cat(
                [self._last, self._last.new_zeros(len(rows), self._last.shape[1])]
            )
        self._recorder.add_paths(rows)
        self._step.add(chosen)

    def advance(self) -> tuple[int, list[tuple[int, SinglePath]]]:
        """Advance every path by a block of steps.

        Returns:
            The number of steps that all paths have taken, and the paths that have ended, each with
            its row.
        """
        settings, recorded = self._settings, self._recorder.recorded
        longest = max(recorded)
        points, results, ending = [], [], False
        for _ in range(min(self.block_length, settings.max_steps - longest + 1)):
            ending = end_requested()
            points.append(self._x)
            result, self._x = self._step(self._x)
            results.append(result)
            if ending:
                break
        self.block_length = self._longest_block
        block = self._read(results)
        ends = self._ends.among(self._recorder.rows, recorded, block, ending)
        curves = block.curves(torch.tensor(recorded) == 0)
        last = self._recorder.add_block(curves, points, [(end.path, end.step) for end in ends])
        ended = []
        for end, point in zip(ends, last, strict=True):
            destination = self._step.destination(end.path)
            steps = recorded[end.path] + end.step
            path = self._recorder.path(end.path, end, steps, point, destination)
            ended.append((self._recorder.rows[end.path], path))
        taken = min(len(points), settings.max_steps - longest) * len(self)
        if ended:
            self._remove({end.path for end in ends})
        return taken, ended

    def _read(self, results: list[Tensor]) -> Block:
        """Return the results of a block of steps: the only time that the host waits."""
        values = torch.stack(results, dim=1)
        log_probs = values[..., : -len(COLUMNS)]
        first = log_probs[:, 0] if self._last is None else self._last
        before = torch.cat([first.unsqueeze(1), log_probs[:, :-1]], dim=1)
        self._last = log_probs[:, -1]
        length = fisher_rao_distance(before, log_probs, self._settings.likelihood)
        return Block(on_host(torch.cat([values, length.unsqueeze(-1)], dim=-1)))

    def _remove(self, ended: set[int]) -> None:
        rest = [i for i in range(len(self)) if i not in ended]
        chosen = torch.tensor(rest, dtype=torch.long, device=self._x.device)
        assert self._last is not None
        self._x, self._last = self._x[chosen], self._last[chosen]
        self._step.select(chosen)
        self._recorder.select(rest)
