"""The networks of the experiments."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lightning_leaf.demo.classifier import SmallCNN

Shape = tuple[int, int, int]
VGG_11 = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")
"""Output channels of the convolutions, in multiples of the width; "M" is max-pooling."""


def cnn(shape: Shape) -> nn.Module:
    """Build the paper's network: two convolutions, max-pooling, two linear layers, ReLU."""
    network: nn.Module = SmallCNN(shape).network
    return network


def gelu(shape: Shape) -> nn.Module:
    """Build the paper's network with GELU. It is smooth: Theorem 3.1 does not apply to it."""
    return nn.Sequential(
        *(nn.GELU() if isinstance(layer, nn.ReLU) else layer for layer in SmallCNN(shape).network)
    )


def mlp(shape: Shape) -> nn.Module:
    """Build a network with two hidden layers of 128 units and ReLU."""
    size = shape[0] * shape[1] * shape[2]
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(size, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def vgg(shape: Shape, width: int = 64) -> nn.Module:
    """Build VGG-11 with batch-norm and one linear layer, for images of 32×32 pixels."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for step in VGG_11:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [
            nn.Conv2d(channels, step * width, 3, padding=1),
            nn.BatchNorm2d(step * width),
            nn.ReLU(),
        ]
        channels = step * width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10))


NETWORKS: dict[str, Callable[[Shape], nn.Module]] = {"cnn": cnn, "gelu": gelu, "mlp": mlp}
