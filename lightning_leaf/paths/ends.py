"""When paths end, decided on the host after every block of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_leaf.paths.block import Block
from lightning_leaf.paths.goal import BARRIERS, Progress
from lightning_leaf.paths.settings import PathSettings
from lightning_leaf.paths.single_path import Barrier, PathStatus


@dataclass(frozen=True)
class End:
    """The end of a path.

    Attributes:
        path: Its place in the batch.
        step: The step of the block at whose point it ends.
        status: The reason.
        blocked_by: What blocks it, if it is blocked.
    """

    path: int
    step: int
    status: PathStatus
    blocked_by: Barrier = ""


class Ends:
    """Find the paths of a batch that end.

    Args:
        settings: Settings of all paths.
        progress: When a path no longer makes progress.
    """

    def __init__(self, settings: PathSettings, progress: Progress) -> None:
        self._max_steps = settings.max_steps
        threshold = settings.threshold
        self._threshold = None if threshold is None else threshold.cpu().numpy()
        self._progress = progress

    def among(self, rows: list[int], recorded: list[int], block: Block, ending: bool) -> list[End]:
        """Return the ends in a block of steps.

        Args:
            rows: Row of each path in the batch.
            recorded: Number of steps of each path before the block.
            block: The results of the steps.
            ending: Whether all paths end with this block.
        """
        distance, potential, moved, finite, barriers = (
            values.numpy()
            for values in (
                block.distance,
                block.potential,
                block.moved,
                block.finite,
                block.barrier,
            )
        )
        counts = np.array(recorded)
        reached_at = -np.inf if self._threshold is None else self._threshold[rows]
        ends: dict[int, End] = {}
        steps = distance.shape[1]
        for step in range(steps):
            goes_on = self._progress.goes_on(rows, potential[:, step], moved[:, step])
            reasons = {
                PathStatus.NON_FINITE: ~finite[:, step],
                PathStatus.REACHED: distance[:, step] <= reached_at,
                PathStatus.BLOCKED: ~goes_on & (barriers[:, step] > 0),
                PathStatus.STALLED: ~goes_on,
                PathStatus.OUT_OF_STEPS: counts + step == self._max_steps,
            }
            if ending and step == steps - 1:
                reasons[PathStatus.OUT_OF_TIME] = np.ones_like(goes_on)
            for status, ended in reasons.items():
                for path in ended.nonzero()[0].tolist():
                    is_blocked = status is PathStatus.BLOCKED
                    barrier = BARRIERS[int(barriers[path, step])] if is_blocked else ""
                    ends.setdefault(path, End(path, step, status, barrier))
        return [ends[path] for path in sorted(ends)]
