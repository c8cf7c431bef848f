"""A logger that cannot tell its folder neither ends a training nor switches a callback off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_leaf import HorizontalPathSnapshot, LeafWriter, LocalDataMatrixMonitor
from lightning_leaf.callbacks import shared_fit
from lightning_leaf.callbacks.base import LeafCallback
from lightning_leaf.display import sessions
from tests.support.callbacks.training import fit, ignore_lightning

pytestmark = ignore_lightning


class Homeless(TensorBoardLogger):
    """A logger without a folder."""

    @property
    def log_dir(self) -> str:
        raise SystemExit("no folder")

    def log_graph(self, *_: Any, **__: Any) -> None: ...

    log_metrics = log_hyperparams = save = finalize = log_graph

    @property
    def experiment(self) -> Any:
        return None


def failing(*_: Any) -> Any:
    raise RuntimeError("of a file system")


def callbacks() -> list[LeafCallback]:
    return [
        LocalDataMatrixMonitor(every_n_steps=4, on_error="raise"),
        HorizontalPathSnapshot([2], pairs=1, max_steps=1, on_error="raise"),
    ]


def test_a_logger_without_a_folder_is_left_out_of_the_check_of_the_clock(tmp_path: Path) -> None:
    measured, homeless = LocalDataMatrixMonitor(every_n_steps=4), Homeless(tmp_path, "none")
    loggers = [TensorBoardLogger(tmp_path, "logs"), homeless]
    assert fit(tmp_path, measured, logger=loggers).global_step == 8
    assert measured.history["step"] == [0, 4, 8]
    assert LeafWriter(homeless)._folder() is None


@pytest.mark.parametrize("function", ["clock_warning", "sessions_in"])
def test_no_error_of_the_folder_switches_anything_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    module = shared_fit if function == "clock_warning" else sessions
    monkeypatch.setattr(module, function, failing)
    logger = TensorBoardLogger(tmp_path, "logs")
    assert fit(tmp_path, *callbacks(), logger=logger).global_step == 8


def check_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shared_fit.SharedFit, "check_clock", failing)


def shared_flag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LeafCallback, "_flag", failing)


@pytest.mark.parametrize("break_it", [check_clock, shared_flag])
def test_errors_before_a_measurement_do_not_end_the_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    break_it(monkeypatch)
    monitor = LocalDataMatrixMonitor(every_n_steps=4)
    walk = HorizontalPathSnapshot([2], pairs=1, max_steps=1)
    assert fit(tmp_path, monitor, walk).global_step == 8
    assert monitor._switched_off
    assert walk._switched_off
    assert any("of a file system" in str(each.message) for each in recwarn)
