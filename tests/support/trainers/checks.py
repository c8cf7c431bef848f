"""Run a training of the table and compare what the callbacks measured with an oracle."""

from __future__ import annotations

import inspect
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor
from tests.support.trainers.kinds import Kind, Training, loader

CALLBACKS: tuple[type[Any], ...] = (LocalDataMatrixMonitor, HorizontalPathSnapshot)


def trace_and_probabilities(
    scores: Callable[[Tensor], Tensor], inputs: Tensor, *, independent: bool = False
) -> tuple[Tensor, Tensor]:
    """Return tr Jᵀ W J and p in float64, one input and one class at a time.

    W is diag p − p pᵀ for exclusive classes and diag p(1 − p) for independent labels.
    """
    traces, probabilities = [], []
    for row in inputs.double():
        x = row.unsqueeze(0).clone().requires_grad_()
        (s,) = scores(x)
        if len(s) == 1 and not independent:
            s = torch.cat([-0.5 * s, 0.5 * s])
        gradients = [
            torch.autograd.grad(each, x, retain_graph=True, materialize_grads=True)[0].flatten()
            for each in s
        ]
        p = s.detach().sigmoid() if independent else s.detach().softmax(0)
        weights = torch.diag(p * (1 - p)) if independent else torch.diag(p) - torch.outer(p, p)
        jacobian = torch.stack(gradients)  # (C, d)
        traces.append((jacobian.T @ weights @ jacobian).trace())
        probabilities.append(p)
    return torch.stack(traces), torch.stack(probabilities)


def accepted(callback: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return those arguments that the callback has."""
    known = inspect.signature(callback).parameters
    return {name: value for name, value in arguments.items() if name in known}


def leaf_callbacks(training: Training, on_error: str, arguments: dict[str, Any]) -> list[Any]:
    """Return a monitor and a path callback for the positions of the training."""
    monitor: dict[str, Any] = {"every_n_steps": 1, "probe": 4}
    path: dict[str, Any] = {"when": "fit_end", "pairs": 1, "max_steps": 2, "save_files": False}
    if training.positions is not None:
        first, second = training.positions[:2], training.positions[-2:]
        monitor["probe"] = list(training.positions)
        path["pairs"] = [list(first), list(second)]
    return [
        callback(on_error=on_error, **(fixed | accepted(callback, arguments)))
        for callback, fixed in zip(CALLBACKS, (monitor, path), strict=True)
    ]


def train(training: Training, root: Path, *callbacks: Any) -> list[str]:
    """Train one step; return the notices of callbacks that switched themselves off."""
    options: dict[str, Any] = {
        "max_steps": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": root,
    }
    data = loader(training.data) if isinstance(training.data, Dataset) else training.data
    validation = training.validation
    validation = loader(validation) if isinstance(validation, Dataset) else validation
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = L.Trainer(callbacks=list(callbacks), **(options | training.options))
        trainer.fit(training.module, data, validation)
    assert trainer.global_step >= 1
    texts = [str(warning.message) for warning in caught]
    return [text for text in texts if "switched itself off" in text]


def arguments_of(row: Kind, training: Training) -> dict[str, Any]:
    """Return the arguments that the page recommends."""
    scope = {"torch": torch, **training.names}
    return dict(eval(f"dict({row.write})", scope))


def inputs_of(training: Training, positions: tuple[int, ...]) -> Tensor:
    """Return the inputs at some positions, as the oracle takes them."""
    if training.inputs is not None:
        return torch.stack([training.inputs[position] for position in positions])
    return torch.stack([training.data[position][0] for position in positions])


def require_refusal(row: Kind, training: Training, root: Path) -> None:
    """Both callbacks switch themselves off with the expected advice; the training continues."""
    assert row.refused is not None
    monitor, path = leaf_callbacks(training, "warn", {})
    notices = train(training, root, monitor, path)
    assert notices, "no callback refused"
    for notice in notices:
        assert _found(row.refused, notice), notice
    assert not monitor.history["step"], monitor.history
    assert path.last_snapshot is None


def made(row: Kind, root: Path) -> Training | None:
    """Return the training of a row, the same each time."""
    torch.manual_seed(0)
    return row.make(root)


def require_right_values(row: Kind, training: Training, root: Path) -> None:
    """The last trace and the first point of the path agree with the oracle.

    The trained module is bitwise the same as without the callbacks. Negative control: the trace of
    other inputs does not agree.
    """
    monitor, path = leaf_callbacks(training, "raise", arguments_of(row, training))
    assert train(training, root, monitor, path) == []
    watched = final_state(training.module)
    plain = made(row, root)
    assert plain is not None
    train(plain, root)
    assert watched == final_state(plain.module)
    model = training.copied(training.module)

    def expected(positions: tuple[int, ...]) -> tuple[float, Tensor]:
        traces, probabilities = trace_and_probabilities(
            lambda x: training.oracle(model, x),
            inputs_of(training, positions),
            independent=training.independent,
        )
        return float(traces.mean()), probabilities

    positions = training.positions or (0, 1, 2, 3)
    trace, probabilities = expected(positions)
    measured = monitor.history["trace_mean"][-1]
    assert abs(measured - trace) <= training.tolerance * trace, (measured, trace)
    other, _ = expected(tuple(position + 4 for position in positions))
    if training.tolerance < 0.1:  # not an estimate
        assert abs(measured - other) > max(1e-4 * other, 3 * abs(measured - trace))
    if training.positions is None:
        return
    shown = path.last_snapshot
    assert shown is not None
    record = shown.paths[0]
    if probabilities.shape[1] <= 20:  # the snapshot contains all classes
        first = torch.tensor(record.probabilities[0], dtype=torch.float64).flatten()
        error = (first.sort().values - probabilities[0].sort().values).abs().max()
        assert error < max(1e-3, training.tolerance), (first, probabilities[0])


def final_state(module: torch.nn.Module) -> list[bytes]:
    """Return the bits of a module's state and of the random stream."""
    state = module.state_dict().values()
    dense = [value for value in state if isinstance(value, Tensor) and not value.is_sparse]
    return [_bytes(value) for value in (*dense, torch.get_rng_state())]


def _bytes(value: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(value.detach().clone(), buffer)
    return buffer.getvalue()


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, " ".join(text.split())) is not None
