"""A state of any form in a checkpoint never ends a resume: the callback warns and begins anew."""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafError,
    LeafMonitor,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
    TraceReturn,
)
from lightning_leaf.callbacks import base
from lightning_leaf.display import sessions
from lightning_leaf.monitoring import history as history_module
from tests.support.callbacks.training import fit, ignore_lightning, scalars, snapshots

pytestmark = ignore_lightning

STEPS = [0, 100, 200]
HISTORY: dict[str, list[float]] = {
    "step": [*STEPS],
    "trace_mean": [1.0, 2.0, math.nan],
    "trace_median": [0.5, 1.5, math.nan],
    "trace_ratio": [1.0, 3.0, math.nan],
    "effective_rank_entropy": [2.0, 2.5, math.nan],
    "tangent_dimension": [9.0, 9.0, 9.0],
}
MONITOR = {
    "history": HISTORY,
    "interval": 100,
    "interval_is_chosen": True,
    "session": "17979cfe362a0000",
}
SNAPSHOT = {"epoch": 3, "session": "17979cfe362a0000"}


def deep(depth: int = 10_000) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


class Raising:
    """An object of which every use raises an error."""

    def _raise(self, *_: Any) -> Any:
        raise RuntimeError("hostile")

    __len__ = __getitem__ = __iter__ = __bool__ = __eq__ = __repr__ = __str__ = __float__ = _raise
    __hash__ = None  # type: ignore[assignment]
    __class__ = property(_raise)  # type: ignore[assignment]


VALUES: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (None, True, False, "", "three", b"\0", -1, 0, 7)),
    *(lambda value=value: value for value in (10**400, 2**63, 0.5, math.nan, math.inf, 1e308, 3j)),
    *(list, dict, tuple, set, deep, Raising),
    lambda: [0, 100],
    lambda: [0, 100, 100],
    lambda: [200, 100, 0],
    lambda: [0, math.nan, 200],
    lambda: [0.5, 1.5, 2.5],
    lambda: ["0", "100", "200"],
    lambda: [None] * 3,
    lambda: [Raising()] * 3,
    lambda: [10**400] * 3,
    lambda: [0] * 100_000,
    lambda: {"step": [0]},
    lambda: torch.arange(3),
    lambda: torch.empty(3, device="meta"),
    lambda: np.array([1.0, 2.0, 3.0]),
    lambda: {Raising: 1, 3: 4},
]


def mutated(state: dict[str, Any], chance: random.Random) -> Any:
    """Return a state of which some parts are replaced, removed or added."""
    state = copy.deepcopy(state)
    if chance.random() < 0.1:
        return chance.choice(VALUES)()
    for _ in range(chance.choice([1, 1, 2, 4])):
        inner = state.get("history")
        part = inner if type(inner) is dict and chance.random() < 0.6 else state
        key = chance.choice([*part, "trace_standard_error", "an unknown key"])
        if chance.random() < 0.2:
            part.pop(key, None)
        else:
            part[key] = chance.choice(VALUES)()
    return state


def require_valid(history: dict[str, list[float]]) -> None:
    """Check that a history can be continued and read."""
    assert len({len(values) for values in history.values()}) == 1
    assert all(type(value) is float for column in list(history)[1:] for value in history[column])
    steps = history["step"]
    assert steps == sorted(set(steps))
    TraceReturn().returned_at(history)
    history_module.trace_ratio(history, 1.0)
    history_module.append_row(history, {"step": (steps or [0])[-1] + 1, "trace_mean": 1.0})
    history_module.drop_after(history, 50)


def load(callback: Any, state: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback.load_state_dict(state)
    return [str(each.message) for each in caught]


KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "monitor": (LocalDataMatrixMonitor, MONITOR),
    "paths": (HorizontalPathSnapshot, SNAPSHOT),
    "walks": (OrthogonalWalkSnapshot, SNAPSHOT),
    "predictions": (PredictionPathSnapshot, SNAPSHOT),
    "loop": (lambda **options: LeafMonitor(torch.rand(2, 4), **options), MONITOR),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_state_can_be_loaded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, state = KINDS[kind]
    chance = random.Random(kind)
    seen = set()
    for _ in range(300):
        monkeypatch.setattr(sessions, "_latest", 0)
        callback = make()
        messages = load(callback, mutated(state, chance))
        assert len(messages) <= 1
        assert all("begins anew, because its state" in message for message in messages)
        assert all(len(message) < 1000 for message in messages)
        seen.add(bool(messages))
        if state is MONITOR:
            require_valid(callback.history)
            assert callback.interval is None or 1 <= callback.interval < 2**63
        callback.state_dict()
        assert len(sessions.new_session([])) == 16
    assert seen == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_was_saved_is_restored_without_a_warning(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_latest", 0)
    make, state = KINDS[kind]
    callback = make()
    assert load(callback, copy.deepcopy(state)) == []
    saved = callback.state_dict()
    assert saved.get("session") == (None if kind == "monitor" else state["session"])
    if state is MONITOR:
        assert repr(callback.history) == repr(HISTORY)
        assert callback.interval == 100
    assert load(make(), saved) == []


@pytest.mark.parametrize("kind", KINDS)
def test_with_on_error_raise_a_state_of_the_wrong_form_is_an_error(kind: str) -> None:
    make, _ = KINDS[kind]
    with pytest.raises(LeafError, match="Expected a mapping; got None"):
        make(on_error="raise").load_state_dict(None)


def test_a_monitor_of_a_loop_measures_after_a_state_of_the_wrong_form() -> None:
    monitor = LeafMonitor(torch.rand(2, 4), every_n_steps=1)
    (message,) = load(monitor, {"history": {"step": [1, 2], "trace_mean": [3.0]}})
    assert "LeafMonitor(name='leaf') begins anew" in message
    assert "history['trace_mean'] expects a list of one number for each of the 2 steps" in message
    assert monitor.measure_if_due(nn.Linear(4, 3), 7) is not None
    assert monitor.history["step"] == [7]


WRONG = {
    "LocalDataMatrixMonitor": {"history": {"step": [0, 4], "trace_mean": [1.0]}},
    "HorizontalPathSnapshot": {"epoch": "three"},
}


def test_a_training_resumes_with_states_of_the_wrong_form(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def callbacks() -> list[Any]:
        return [
            LocalDataMatrixMonitor(every_n_steps=4),
            HorizontalPathSnapshot(10, pairs=1, max_steps=1),
            ModelCheckpoint(tmp_path, "saved", every_n_train_steps=8),
        ]

    def resume(folder: str) -> Any:
        options: dict[str, Any] = {"max_steps": 12, "enable_checkpointing": True}
        saved = tmp_path / "saved.ckpt"
        return fit(tmp_path / folder, *callbacks(), ckpt_path=saved, **options)

    fit(tmp_path / "first", *callbacks(), enable_checkpointing=True)
    content = torch.load(tmp_path / "saved.ckpt", weights_only=False)
    for key, state in content["callbacks"].items():
        state.update(next((wrong for kind, wrong in WRONG.items() if kind in key), {}))
    torch.save(content, tmp_path / "saved.ckpt")
    assert resume("again").global_step == 12
    assert list(scalars(tmp_path / "again")["leaf/trace_mean"]) == [8, 12]
    assert [each.step for each in snapshots(tmp_path / "again")] == [10]
    messages = [str(each.message) for each in recwarn if "begins anew" in str(each.message)]
    assert sorted(message.split("(")[0] for message in messages) == sorted(WRONG)
    # Negative control.
    torch.save(content, tmp_path / "saved.ckpt")
    monkeypatch.setattr(base.LeafCallback, "load_state_dict", lambda self, s: self._restore(s))
    with pytest.raises(LeafError, match="expects"):
        resume("without")
