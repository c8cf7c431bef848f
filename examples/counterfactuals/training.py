"""Three kinds of training: on images, on noisy images and on adversarial images.

A network that was trained adversarially must keep its prediction under every small change of an
image. Its gradients then lie along the data (Etmann et al. 2019; Kaur, Cohen & Lipton 2019).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from examples.counterfactuals.scale import Scale
from examples.paper.images import Images
from examples.paper.networks import Shape

PLAIN, NOISE, ADVERSARIAL = "plain", "noise", "adversarial"
KINDS = (PLAIN, NOISE, ADVERSARIAL)
WARM_UP, DECAY, GROWTH = 0.1, 0.7, 0.5
"""Shares of the steps in which the learning rate rises, in which it falls to zero, and in which the
adversarial perturbation grows to its length."""


def small_cnn(shape: Shape) -> nn.Module:
    """Build the network of Wong & Kolter (2018) for MNIST.

    Both convolutions halve the image. A pass takes about a tenth of the time of the paper's
    network, and many of the comparison's passes are adversarial training.
    """
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def trained(scale: Scale, images: Images, kind: str, seed: int, folder: Path) -> nn.Module:
    """Return the network after one kind of training, with fixed weights.

    Args:
        scale: Settings.
        images: Training images.
        kind: One of ``KINDS``.
        seed: Seed of weights, batches and noise; another for every kind.
        folder: Folder of the checkpoints. A network found there is not trained again.
    """
    file = folder / f"{scale.name}-{kind}-{seed}.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(10 * seed + KINDS.index(kind))
        network = small_cnn(images.shape)
        if not file.exists():
            train(network, scale, images, kind, f"training {kind}, seed {seed}")
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(network.state_dict(), file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
    network.load_state_dict(torch.load(file, weights_only=True))
    return network.eval().requires_grad_(False)


def train(network: nn.Module, scale: Scale, images: Images, kind: str, title: str) -> None:
    """Train by SGD with momentum. Random numbers come from the global generator."""
    steps = scale.training_steps[kind]
    optimizer = torch.optim.SGD(
        network.parameters(), lr=scale.learning_rate, momentum=0.9, weight_decay=1e-4
    )
    unit = 1 / images.normalization.std[0]  # the range of pixels in input units
    low, high = valid_range(images)
    for step in tqdm(range(steps), desc=title, disable=None, leave=False):
        rate = min((step + 1) / (WARM_UP * steps), (steps - step) / (DECAY * steps), 1)
        optimizer.param_groups[0]["lr"] = rate * scale.learning_rate
        rows = torch.randint(len(images.train), (scale.batch,))
        x, labels = images.train[rows], images.train_labels[rows]
        if kind == NOISE:
            x = x + scale.noise * unit * torch.randn_like(x)
        elif kind == ADVERSARIAL:
            length = scale.attack * unit * min(step / (GROWTH * steps), 1)
            x = attacked(network, x, labels, length).clamp(low, high)
        loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def attacked(network: nn.Module, x: Tensor, labels: Tensor, length: float) -> Tensor:
    """Perturb by one gradient step from a random start, within a Euclidean ball.

    It is the L2 form of fast adversarial training (Wong, Rice & Kolter 2020).
    """
    start = unit_vectors(torch.randn_like(x)) * torch.rand(len(x), *[1] * (x.ndim - 1))
    point = (x + length * start).requires_grad_()
    network.requires_grad_(False)
    loss = nn.functional.cross_entropy(network(point), labels, reduction="sum")
    gradient = torch.autograd.grad(loss, point)[0]
    network.requires_grad_(True)
    change = length * (start + 1.25 * unit_vectors(gradient))
    size = change.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))
    return x + change * (length / size.clamp_min(1e-12)).clamp(max=1)


def unit_vectors(v: Tensor) -> Tensor:  # (N, ...)
    size = v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
    return v / size.clamp_min(1e-30)


def valid_range(images: Images) -> tuple[float, float]:
    """Return the inputs of black and white pixels."""
    mean, std = images.normalization.mean[0], images.normalization.std[0]
    return -mean / std, (1 - mean) / std
