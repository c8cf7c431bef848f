"""A callback that switches itself off says why, once, what to write, and again at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafError,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
)
from lightning_leaf.monitoring.advice import Task, advice_for
from lightning_leaf.monitoring.messages import LONGEST_MESSAGE, one_line
from tests.support.callbacks.training import fit, ignore_lightning
from tests.support.oracle import data_matrix

pytestmark = [
    *ignore_lightning,
    pytest.mark.filterwarnings("ignore:.*has switched itself off"),
]

X, Y = torch.rand(24, 12), torch.arange(24) % 3


class Dicts(Dataset):
    """A data set of dicts."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return {"image": X[index], "label": Y[index]}


class Base(L.LightningModule):
    """A linear classifier with twelve inputs and three classes."""

    data: Callable[[], Any] = Dicts

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(12, 3)

    def reference(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch["image"]), batch["label"])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class Whole(Base):
    def forward(self, batch: Any) -> Tensor:
        return self.net(batch["image"])


class Keywords(Base):
    def forward(self, *, image: Tensor, label: Any = None) -> Tensor:
        return self.net(image)


class TwoKeywords(Base):
    data = staticmethod(
        lambda: [
            {"image": x, "depth": z, "label": y} for x, z, y in zip(X, X.flip(0), Y, strict=True)
        ]
    )

    def forward(self, *, image: Tensor, depth: Tensor) -> Tensor:
        return self.net(image - 2 * depth)

    def reference(self, x: Tensor) -> Tensor:
        return self.net(x[:, 0] - 2 * x[:, 1])


class Tuples(Base):
    data = staticmethod(lambda: TensorDataset(X, Y))

    def forward(self, batch: Any) -> Tensor:
        x, _ = batch
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch), batch[1])


class Pair(Base):
    data = staticmethod(lambda: TensorDataset(X, X.flip(0), Y))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.net(a - 2 * b)

    def reference(self, x: Tensor) -> Tensor:
        return self.net(x[:, 0] - 2 * x[:, 1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(*batch[:2]), batch[2])


class NoForward(Base):
    pass


class OtherInputs(Base):
    """A module whose inputs are the second part of a batch."""

    data = staticmethod(lambda: TensorDataset(torch.rand(24, 5), X, Y))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[1]), batch[2])


ADVICE: dict[type[Base], str] = {
    Whole: "forward=lambda module, x: module({'image': x})",
    Keywords: "forward=lambda module, x: module(image=x)",
    TwoKeywords: "batch=lambda batch: (torch.stack([batch['image'], batch['depth']], 1), "
    "batch['label']), forward=lambda module, x: module(image=x[:, 0], depth=x[:, 1])",
    Tuples: "forward=lambda module, x: module((x, None))",
    Pair: "batch=lambda batch: (torch.stack(batch[:2], 1), batch[2]), "
    "forward=lambda module, x: module(x[:, 0], x[:, 1])",
    NoForward: "forward='net'",
    OtherInputs: "batch=lambda batch: (inputs, labels)",
}
KNOWN_TO_THE_USER = {"(inputs, labels)": "(batch[1], batch[2])"}


@pytest.mark.parametrize("kind", ADVICE)
def test_the_advice_works(
    tmp_path: Path, kind: type[Base], caplog: pytest.LogCaptureFixture
) -> None:
    def train(**arguments: Any) -> tuple[Base, LocalDataMatrixMonitor]:
        monitor = LocalDataMatrixMonitor(list(range(6)), every_n_steps=2, **arguments)
        module, data = kind(), DataLoader(kind.data(), 4)
        fit(tmp_path, monitor, module=module, train=data, validation=None, max_steps=2)
        return module, monitor

    _, failed = train()
    assert failed.history["step"] == []
    (message,) = [text for text in caplog.messages if "switched itself off" in text]
    advice = ADVICE[kind]
    assert advice in message
    for text, known in KNOWN_TO_THE_USER.items():
        advice = advice.replace(text, known)
    module, monitor = train(on_error="raise", **eval(f"dict({advice})", {"torch": torch}))
    inputs = torch.stack([X[:6], X.flip(0)[:6]], 1) if kind in (Pair, TwoKeywords) else X[:6]
    matrices = data_matrix(module.double().reference, inputs)
    expected = matrices.diagonal(dim1=1, dim2=2).sum(1).mean().item()
    assert monitor.history["step"] == [0, 2]
    assert monitor.history["trace_mean"][-1] == pytest.approx(expected, rel=1e-4)


class Broken(Base):
    """A module that fails in evaluation mode, with the representation of a network."""

    data = staticmethod(lambda: TensorDataset(X, Y))

    def __init__(self, at: int = 0) -> None:
        super().__init__()
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.trainer.global_step >= self.at:
            raise ValueError(f"cannot be measured: {nn.Sequential(*[nn.Linear(3, 3)] * 30)}")
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def three() -> list[Any]:
    return [
        LocalDataMatrixMonitor(probe=4, every_n_steps=1),
        HorizontalPathSnapshot([1, "fit_end"], pairs=2, max_steps=2),
        OrthogonalWalkSnapshot([1, "fit_end"], starts=2, max_steps=2),
    ]


def trained(root: Path, *callbacks: Any, module: Base) -> None:
    data = DataLoader(module.data(), 4)
    fit(root, *callbacks, module=module, train=data, validation=None, max_steps=4)


def test_one_cause_is_reported_once_in_every_fit_and_at_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for fold in range(2):
        caplog.clear()
        trained(tmp_path / str(fold), *three(), module=Broken())
        (notice,) = [text for text in caplog.messages if "switched itself off" in text]
        assert "LocalDataMatrixMonitor(name='leaf') has switched itself off for the rest" in notice
        assert "Cause: ValueError: cannot be measured: Sequential(." in notice
        assert "the probe: calling Broken.forward with training inputs of shape (4, 12)." in notice
        assert "\n" not in notice
        (summary,) = [text for text in caplog.messages if "LEAF measured nothing" in text]
        for name in ("'leaf'", "'horizontal_path'", "'orthogonal_walk'"):
            assert f"(name={name})" in summary
        assert summary.count("ValueError") == 1


def test_the_summary_tells_that_measuring_ended_early(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor, *paths = three()
    trained(tmp_path / "early", monitor, module=Broken(at=2))
    assert monitor.history["step"] == [0, 1]
    assert "LEAF did not measure all in this fit" in caplog.text
    assert "LEAF measured nothing" not in caplog.text
    # Negative control: without an error nothing is reported.
    caplog.clear()
    trained(tmp_path / "well", monitor, *paths, module=Broken(at=100))
    assert not [text for text in caplog.messages if "LEAF" in text or "switched" in text]


def test_different_causes_are_reported_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callbacks = [LocalDataMatrixMonitor(probe=4), HorizontalPathSnapshot(pairs=[(0, 10**6)])]
    trained(tmp_path, *callbacks, module=Broken())
    notices = [text for text in caplog.messages if "switched itself off" in text]
    assert len(notices) == 2
    assert "while choosing the pairs" in notices[1]


def test_the_scores_are_explained_once_and_only_if_they_are_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="lightning_leaf"):
        trained(tmp_path / "well", *three(), module=Broken(at=100))
        explained = [text for text in caplog.messages if "logits of 3 exclusive classes" in text]
        assert len(explained) == 1
        caplog.clear()
        trained(tmp_path / "broken", *three(), module=Broken())
    assert "logits of" not in caplog.text


def test_messages_of_others_are_cut_and_our_own_are_kept() -> None:
    assert one_line(ValueError("first\nsecond")) == "first."
    assert one_line(ValueError("x" * 1000)) == "x" * (LONGEST_MESSAGE - 1) + "…"
    assert one_line(LeafError("First.\n   Second.")) == "First. Second."
    assert one_line(ValueError()) == "(no message)."


def test_data_that_cannot_be_read_has_an_advice() -> None:
    choosing = Task("choosing", "choosing the probe")
    arguments: tuple[Any, ...] = (choosing, Base(), None, None, "probe=(inputs, labels)")
    assert "probe=(inputs, labels)" in advice_for(OSError("gone"), *arguments)
    assert advice_for(LeafError("Do this."), *arguments) == ""  # the error says it
