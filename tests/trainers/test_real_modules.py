"""Modules of other libraries are measured unchanged, and their training stays identical."""

from __future__ import annotations

import copy
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos import LightningTransformer
from lightning.pytorch.demos.boring_classes import (
    BoringModel,
    DemoModel,
    ManualOptimBoringModel,
    RandomDataset,
)
from lightning.pytorch.demos.lstm import LightningLSTM
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.vgg import make_layers

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from tests.support.callbacks.training import fit, ignore_lightning, scalars, snapshots

pytestmark = ignore_lightning


class Classifier(L.LightningModule):
    """A LightningModule around a model of torchvision, timm or transformers."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.net(*args, **kwargs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if isinstance(batch, dict):
            return self(**batch).loss
        scores = self(batch[0])
        scores = scores["logits"] if isinstance(scores, dict) else scores
        return nn.functional.cross_entropy(scores, batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class WithFeatures(nn.Module):
    """A model that returns a dict, like feature extractors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.GELU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x).flatten(1)
        return {"features": features, "logits": self.head(features)}


@dataclass
class ImageClassifierOutput(OrderedDict):
    """An output like those of transformers: a dict of the attributes that are not None."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                self[field.name] = value


class ForImageClassification(nn.Module):
    """A model with the signature of those of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = WithFeatures()

    def forward(
        self, pixel_values: Tensor | None = None, labels: Tensor | None = None
    ) -> ImageClassifierOutput:
        assert pixel_values is not None
        found = self.features(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(found["logits"], labels)
        return ImageClassifierOutput(loss, found["logits"], (found["features"],))


class Processed(Dataset[dict[str, Any]]):
    """A data set of dicts, like those of Hugging Face after an image processor."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = images()[index]
        return {"pixel_values": image, "labels": label}


def images() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand(8, 3, 32, 32, generator=generator), torch.arange(8) % 4)


def torchvision_model(name: str) -> Callable[[], Any]:
    return lambda: Classifier(getattr(models, name)(weights=None, num_classes=10))


# The architectures of large models, with fewer and smaller layers, so that they train fast.


def small_vgg() -> Classifier:
    layers = make_layers([8, "M", 16, "M", 32, 32, "M"], batch_norm=True)
    net = models.VGG(layers, num_classes=4)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier[0] = nn.Linear(32, 64)
    net.classifier[3] = nn.Linear(64, 64)
    net.classifier[6] = nn.Linear(64, 4)
    return Classifier(net)


def small_convnext() -> Classifier:
    blocks = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    return Classifier(models.ConvNeXt(blocks, stochastic_depth_prob=0.1, num_classes=4))


def small_swin() -> Classifier:
    net = models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[2, 2],
        stochastic_depth_prob=0.2,
        num_classes=4,
    )
    return Classifier(net)


def small_vit() -> Classifier:
    net = models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=4,
    )
    return Classifier(net)


CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "resnet18": (torchvision_model("resnet18"), images),
    "mobilenet_v3_small": (torchvision_model("mobilenet_v3_small"), images),
    "ConvNeXt": (small_convnext, images),
    "VGG with batch-norm": (small_vgg, images),
    "Swin transformer": (small_swin, images),
    "vision transformer": (small_vit, images),
    "dict of features": (lambda: Classifier(WithFeatures()), images),
    "transformers": (lambda: Classifier(ForImageClassification()), Processed),
    "BoringModel": (BoringModel, lambda: RandomDataset(32, 8)),
    "DemoModel": (DemoModel, lambda: RandomDataset(32, 8)),
    "manual optimisation": (ManualOptimBoringModel, lambda: RandomDataset(32, 8)),
}


def leaf_callbacks(on_error: Any = "raise") -> list[Any]:
    return [
        LocalDataMatrixMonitor(probe=2, every_n_steps=2, on_error=on_error),
        HorizontalPathSnapshot("fit_end", pairs=1, max_steps=2, on_error=on_error),
        OrthogonalWalkSnapshot("fit_end", starts=1, max_steps=2, on_error=on_error),
    ]


def digest(module: nn.Module) -> str:
    """Return a digest of all bits of the state."""
    found = hashlib.sha256()
    for value in module.state_dict().values():
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def trained(root: Path, module: L.LightningModule, data: Dataset[Any], *callbacks: Any) -> str:
    loader = DataLoader(data, batch_size=2)
    fit(root, *callbacks, module=module, train=loader, validation=None, max_steps=2)
    module.zero_grad(set_to_none=True)
    return digest(module)


@pytest.mark.parametrize(("make", "data"), CASES.values(), ids=CASES)
def test_modules_are_measured_and_their_training_is_bitwise_identical(
    tmp_path: Path, make: Callable[[], Any], data: Callable[[], Any]
) -> None:
    torch.manual_seed(0)
    module, examples = make(), data()
    plain = copy.deepcopy(module)
    before = digest(module)
    watched = trained(tmp_path / "with", module, examples, *leaf_callbacks())
    assert watched == trained(tmp_path / "without", plain, examples)
    assert watched != before

    logged = {name: v for name, v in scalars(tmp_path / "with").items() if name.startswith("leaf/")}
    assert len(logged) == 5
    # The head of torchvision's ViT is initialised to zero, so G and the first median are zero.
    undefined = set() if logged["leaf/trace_median"][0] else {"leaf/trace_ratio"}
    for name in logged.keys() - undefined:
        assert list(logged[name]) == [0, 2], name
        assert all(map(math.isfinite, logged[name].values())), name
    # Only at one of them: with few steps of batch-norm statistics, one class can be certain.
    assert any(logged["leaf/trace_mean"].values())
    shown = snapshots(tmp_path / "with")
    assert [(taken.name, taken.step) for taken in shown] == [
        ("horizontal_path", 2),
        ("orthogonal_walk", 2),
    ]
    for path in (taken.paths[0] for taken in shown):
        assert path.status in ("reached", "out_of_steps", "stalled")


class Offline:
    """A language model of Lightning without the download of its data."""

    def prepare_data(self) -> None:
        pass


class OfflineTransformer(Offline, LightningTransformer):
    pass


class OfflineLSTM(Offline, LightningLSTM):
    pass


def tokens() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(*torch.randint(0, 50, (2, 8, 12), generator=generator))


@pytest.mark.parametrize("make", [OfflineTransformer, OfflineLSTM])
def test_token_ids_cause_one_warning_and_training_continues(
    tmp_path: Path, make: Callable[..., Any]
) -> None:
    torch.manual_seed(0)
    module = make(vocab_size=50)
    plain = copy.deepcopy(module)
    with pytest.warns(UserWarning, match="has switched itself off") as caught:
        watched = trained(tmp_path / "with", module, tokens(), *leaf_callbacks("warn"))
    assert watched == trained(tmp_path / "without", plain, tokens())
    warnings = [
        str(warning.message) for warning in caught if "switched itself off" in str(warning.message)
    ]
    (message,) = warnings  # once for all callbacks
    assert "for token ids measure the model on embeddings" in message
    assert not snapshots(tmp_path)
    assert not any(name.startswith("leaf/") for name in scalars(tmp_path))
