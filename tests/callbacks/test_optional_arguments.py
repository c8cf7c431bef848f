"""Optional arguments of forward that the batch has are named, with a call that passes them."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lightning_leaf import LocalDataMatrixMonitor
from tests.support.callbacks.training import SmallCNN, fit, ignore_lightning

pytestmark = ignore_lightning

STEPS, FEATURES = 5, 3


class Pooling(SmallCNN):
    """A classifier of sequences that can be padded."""

    def __init__(self) -> None:
        super().__init__(lr=0.01)
        self.net = nn.Sequential(nn.Linear(FEATURES, 4))

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        attention_mask: Tensor | None = None,
        label: Tensor | None = None,
        scale: float = 1,
    ) -> Tensor:
        kept = torch.ones(x.shape[:2])
        if lengths is not None:
            kept = (torch.arange(STEPS) < lengths[:, None]).float()
        if attention_mask is not None:
            kept = kept * attention_mask
        pooled = (x * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        scores: Tensor = self.net(scale * pooled)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch["x"]), batch["label"])


class WithoutArguments(Pooling):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def sequences(*keys: str) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    items = [
        {
            "x": draw(STEPS, FEATURES),
            "lengths": 1 + i % STEPS,
            "attention_mask": draw(STEPS) > 0.3,
            "label": i % 4,
        }
        for i in range(32)
    ]
    for item in items:
        item["attention_mask"][0] = True
    return [{key: item[key] for key in ("x", *keys, "label")} for item in items]


def messages(
    root: Path, caplog: pytest.LogCaptureFixture, module: SmallCNN, *keys: str, **options: Any
) -> list[str]:
    caplog.clear()
    caplog.set_level(logging.WARNING, "lightning_leaf")
    loader = DataLoader(sequences(*keys), 8)
    monitors = [
        LocalDataMatrixMonitor(4, 1, name=name, on_error="raise", **options) for name in "ab"
    ]
    fit(root, *monitors, module=module, train=loader, validation=None, max_steps=2)
    return [each.getMessage() for each in caplog.records if each.name == "lightning_leaf"]


@pytest.mark.parametrize("keys", [("lengths",), ("attention_mask",), ("lengths", "attention_mask")])
def test_the_warning_names_the_call_that_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: tuple[str, ...]
) -> None:
    module = Pooling()
    (message,) = messages(tmp_path / "first", caplog, module, *keys)
    assert f"{', '.join(map(repr, keys))}, which the batch has." in message
    found = re.fullmatch(r".* pass batch=(lambda .*), forward=(lambda .*)\.", message)
    assert found is not None
    split, forward = (eval(text, {"torch": torch}) for text in found.groups())
    batch = next(iter(DataLoader(sequences(*keys), 8)))
    inputs, labels = split(batch)
    expected = module(batch["x"], **{key: batch[key] for key in keys})
    assert torch.equal(forward(module, inputs), expected)
    assert torch.equal(labels, batch["label"])
    assert not torch.equal(module(batch["x"]), expected)  # negative control
    arguments = {"batch": split, "forward": forward}
    again = messages(tmp_path / "second", caplog, Pooling(), *keys, **arguments)
    assert not any("is called without" in each for each in again)


def test_batches_without_positions_are_known_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(sequences("lengths"))

    caplog.set_level(logging.WARNING, "lightning_leaf")
    monitor = LocalDataMatrixMonitor(4, 1, on_error="raise")
    fit(tmp_path, monitor, module=Pooling(), train=DataLoader(Stream(), 8), validation=None)
    assert "without its optional argument 'lengths'" in caplog.text


@pytest.mark.parametrize(
    ("make", "keys"), [(Pooling, ()), (WithoutArguments, ("lengths", "attention_mask"))]
)
def test_there_is_no_warning_without_such_an_argument(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any, keys: tuple[str, ...]
) -> None:
    """Negative control: the batch lacks the arguments, or the module does."""
    assert messages(tmp_path, caplog, make(), *keys) == []
