"""What the LEAF callbacks of a trainer share during one fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightning_leaf.callbacks.notices import Notices, warn
from lightning_leaf.display.sessions import clock_warning, new_session
from lightning_leaf.errors import result_of
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.averaging import TrainedWeights
from lightning_leaf.trainer.processes import Processes

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from lightning_leaf.data.evidence import Judgement


class SharedFit:
    """What the LEAF callbacks of a trainer share during one fit.

    Args:
        trainer: The trainer.

    Attributes:
        processes: The processes of the training.
        notices: What was reported in this fit.
        weights: Whether the trained weights were replaced by their average.
        results: Number of measurements and snapshots of all callbacks so far.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.processes = Processes(trainer)
        self.notices = Notices()
        self.weights = TrainedWeights(trainer)
        self.results = 0
        self._started = time.monotonic()
        self._session: str | None = None
        self._clock_is_checked = False
        self._judgements: list[tuple[tuple[Any, ...], Judgement]] = []

    def elapsed(self) -> float:
        """Return the time since the setup of the fit, in seconds."""
        return time.monotonic() - self._started

    def session(self, trainer: Trainer) -> str:
        """Return the identifier of this fit. All processes must call this method.

        Args:
            trainer: The trainer.
        """
        if self._session is None:
            folders = trainer_state.tensorboard_folders(trainer)
            self._session = self.processes.on_rank_zero(lambda: new_session(folders))
        return self._session

    def check_clock(self, trainer: Trainer) -> None:
        """Warn once if the clock is behind the logs to which the trainer writes.

        No error of a logger or of a folder is raised: only rank zero reads them.

        Args:
            trainer: The trainer.
        """
        if self._clock_is_checked:
            return
        self._clock_is_checked = True
        if trainer.is_global_zero:
            warning = result_of(clock_warning, trainer_state.tensorboard_folders(trainer))
            if warning is not None:
                warn(warning)

    def judgement(
        self, settings: tuple[Any, ...], judge: Callable[[], Judgement | None]
    ) -> Judgement | None:
        """Return what the scores mean, judged once for all callbacks with the same settings.

        Args:
            settings: The arguments that say how to call the module.
            judge: Judge the scores.
        """
        known = (judgement for key, judgement in self._judgements if key == settings)
        judgement = next(known, None) or judge()
        if judgement is not None:
            self._judgements.append((settings, judgement))
        return judgement
