"""Classifiers with too many classes for one backward pass for each."""

import torch
from torch import Tensor, nn

CLASSES = 200


def perceptron(scale: float = 1.0) -> nn.Module:
    """Return a perceptron whose confidence grows with the scale of its logits."""
    model = nn.Sequential(nn.Linear(300, 250), nn.ReLU(), nn.Linear(250, CLASSES))
    model[2].weight.data *= 5 * scale
    return model


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2, groups=2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(16 * 2 * 2, CLASSES),
    )


class Attention(nn.Module):
    """Attention between four tokens. Its fused kernel has first derivatives only."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def decaying(condition: float) -> nn.Module:
    """Return a linear model whose singular values decrease by a factor of ``condition``."""
    model = nn.Linear(300, CLASSES)
    u, _ = torch.linalg.qr(torch.randn(CLASSES, CLASSES))
    v, _ = torch.linalg.qr(torch.randn(300, CLASSES))
    values = condition ** -torch.linspace(0, 1, CLASSES)
    model.weight.data = u @ torch.diag(values) @ v.T
    return model


MODELS = {
    "perceptron": (perceptron, (300,)),
    "confident perceptron": (lambda: perceptron(8.0), (300,)),
    "convolutions": (convolutions, (3, 12, 12)),
    "attention": (Attention, (4, 24)),
    "decaying": (lambda: decaying(1e3), (300,)),
}


def make(name: str, seed: int, batch: int = 3) -> tuple[nn.Module, Tensor]:
    """Return a model with random weights, and inputs for it."""
    model, shape = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model(), torch.randn(batch, *shape)
