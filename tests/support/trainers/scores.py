"""Kinds of scores and targets: what the output of a model means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy, mse_loss, nll_loss, normalize, one_hot
from torch.utils.data import Dataset

from tests.support.trainers.kinds import (
    Lit,
    Report,
    Training,
    kind,
    labels,
    loader,
    pairs,
    rows,
)


class MultiLabel(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 5))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return bce(self(batch[0]), batch[1].float())


def multi_hot() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(24, 5, generator=generator) < 0.5).float()


@kind(
    "Scores",
    "independent labels (binary cross-entropy), recognised by targets of zeros and ones",
    Report(
        "meta-pytorch/captum #887",
        "an image classifier with 33 independent labels",
        "wrong value: read as a softmax",
    ),
    Report(
        "jacobgil/pytorch-grad-cam #328",
        "ResNet-50 and DenseNet with 14 independent labels",
        "wrong value: read as a softmax",
    ),
)
def independent_labels(root: Path) -> Training:
    return Training(MultiLabel(), pairs(targets=multi_hot()), independent=True)


class Unlabelled(MultiLabel):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0]).square().mean()  # type: ignore[no-any-return]


@kind(
    "Scores",
    "independent labels without targets in the batch",
    write='likelihood="bernoulli"',
    happens="read as exclusive classes, which the log says",
)
def likelihood_by_hand(root: Path) -> Training:
    return Training(Unlabelled(), pairs(targets=torch.zeros(24, 0)), independent=True)


class OneLogit(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 1), nn.Flatten()))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return bce(self(batch[0])[:, 0], batch[1].float())


@kind("Scores", "one logit for two classes")
def one_logit(root: Path) -> Training:
    return Training(OneLogit(), pairs(targets=labels(2)))


class Probability(OneLogit):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x))  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return bce(self.net(batch[0])[:, 0], batch[1].float())


@kind(
    "Scores",
    "probabilities (a softmax or sigmoid at the end of `forward`)",
    Report(
        "jacobgil/pytorch-grad-cam #325",
        "a network with one sigmoid output",
        "switched off with the right advice",
    ),
    write='forward="net"',
    refused="probabilit.*forward=",
)
def probabilities(root: Path) -> Training:
    return Training(Probability(), pairs(targets=labels(2)), lambda module, x: module.net(x))


class LogProbabilities(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 3), nn.LogSoftmax(1)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nll_loss(self(batch[0]), batch[1])


@kind("Scores", "log-probabilities (`LogSoftmax` with `NLLLoss`)")
def log_probabilities(root: Path) -> Training:
    return Training(LogProbabilities(), pairs())


class Regression(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return mse_loss(self(batch[0]), batch[1])


@kind(
    "Scores",
    "regression",
    Report("aleximmer/Laplace #265", "a regression model", "wrong value: read as logits"),
    Report(
        "jacobgil/pytorch-grad-cam #248",
        "a vision transformer for regression",
        "wrong value: read as logits",
    ),
    refused="float|regression|class",
    note="There are no classes, so there is nothing to measure.",
)
def regression(root: Path) -> Training:
    generator = torch.Generator().manual_seed(1)
    return Training(Regression(), pairs(targets=torch.randn(24, 3, generator=generator)))


class Autoencoder(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 12)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return mse_loss(self(batch[0]), batch[0])


@kind("Scores", "reconstructions (autoencoders)", refused="shape|reconstruct")
def reconstruction(root: Path) -> Training:
    return Training(Autoencoder(), pairs())


class Embeddings(Lit):
    """A metric-learning model: embeddings of length one, compared with class centres."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 3))
        self.centres = nn.Parameter(torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        return normalize(self.net(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(4 * self(batch[0]) @ self.centres, batch[1])


@kind(
    "Scores",
    "embeddings of length one (metric learning, contrastive learning)",
    Report(
        "jacobgil/pytorch-grad-cam #387",
        "an ArcFace network without its classifier",
        "wrong value: read as logits",
    ),
    Report(
        "KevinMusgrave/pytorch-metric-learning #175",
        "a small network on MNIST with an ArcFace loss",
        "wrong value: read as logits",
    ),
    write="forward=lambda module, x: 4 * module(x) @ module.centres",
    refused="norm|length|embedding",
)
def embeddings(root: Path) -> Training:
    return Training(Embeddings(), pairs(), lambda module, x: 4 * module(x) @ module.centres)


class ManyColumns(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 40))


@kind(
    "Scores",
    "more columns than the data set has classes (a head of ImageNet on a few classes)",
    write='likelihood="categorical"',
    refused="likelihood=",
    note="Such columns can be features; `likelihood=` says that they are logits.",
)
def more_columns_than_classes(root: Path) -> Training:
    return Training(ManyColumns(), pairs())


class WithIndex(Dataset[Any]):
    """(image, index, label), as many data sets of semi-supervised learning return."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        return rows()[index], index, index % 3


class SecondIsIndex(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[2])


@kind(
    "Scores",
    "numbers that are no labels, such as the index in `(image, index, label)`",
    happens="the labels are those that fit the scores",
)
def labels_out_of_range(root: Path) -> Training:
    return Training(SecondIsIndex(), WithIndex(), positions=(4, 5, 6, 7), inputs=rows())


@kind("Scores", "scores of shape `(B, 1, C)`")
def one_token(root: Path) -> Training:
    class OneToken(Lit):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[:, None]  # type: ignore[no-any-return]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return cross_entropy(self(batch[0])[:, 0], batch[1])

    return Training(OneToken(), pairs(), lambda module, x: module.net(x))


def mixed_up(items: Any) -> Any:
    """Mix every example with the next, as MixUp does."""
    x, y = (torch.stack(parts) for parts in zip(*items, strict=True))
    targets = one_hot(y, 3).float()
    return 0.7 * x + 0.3 * x.roll(1, 0), 0.7 * targets + 0.3 * targets.roll(1, 0)


@kind(
    "Scores",
    "soft labels (label smoothing, distillation; MixUp and CutMix in the collate function)",
    Report(
        "kaylode/theseus #26",
        "an image classifier with MixUp and CutMix in `collate_fn`",
        "right value for the mixed inputs, with the label of the larger share",
    ),
    Report("pytorch/vision PR #7772", "the MixUp and CutMix of torchvision", "as above"),
    note="The inputs are measured as they are before mixing.",
)
def soft_labels(root: Path) -> Training:
    return Training(Lit(), loader(pairs(), collate_fn=mixed_up), inputs=rows())
