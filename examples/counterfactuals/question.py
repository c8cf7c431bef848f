"""The question: which change of an image makes a classifier as sure of another class?"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn

from examples.paper.images import Images
from examples.paper.walked import log_probs

RUNNER_UP, RANDOM = "runner-up", "random class"
TARGETS = (RUNNER_UP, RANDOM)


@dataclass(frozen=True)
class Question:
    """Images, and for each the class that the classifier should predict.

    Attributes:
        x: Images, ``(N, ...)``.
        target: The class asked for, ``(N,)``.
        asked: Log-probabilities asked for, ``(N, C)``: those of x, with the probabilities of the
            predicted class and of the target exchanged.
        nearest: The nearest training image of the target class, ``(N, ...)``.
        tolerance: Fisher–Rao distance that counts as arrived.
    """

    x: Tensor
    target: Tensor
    asked: Tensor
    nearest: Tensor
    tolerance: float

    def select(self, rows: Tensor) -> Question:
        """Return the question for some of the images."""
        return Question(
            self.x[rows], self.target[rows], self.asked[rows], self.nearest[rows], self.tolerance
        )

    def is_sure(self, log_p: Tensor) -> Tensor:  # (N, C) -> (N,)
        """Return where a prediction is as sure of the target as the one asked for.

        The probability of the target is p, the one asked for is q. The least Fisher–Rao distance
        of a prediction with p from those with at least q is 2·(arcsin √q − arcsin √p). It must be
        at most the tolerance. A prediction within the tolerance of the one asked for is sure.
        """
        return 2 * (angle(self.asked, self.target) - angle(log_p, self.target)) <= self.tolerance

    @property
    def least_log_odds(self) -> Tensor:  # (N,)
        """The least log p/(1 − p) of the target with which a prediction is sure."""
        least = angle(self.asked, self.target) - self.tolerance / 2
        return 2 * least.clamp(1e-6, pi / 2 - 1e-6).tan().log()


def angle(log_p: Tensor, target: Tensor) -> Tensor:  # (N, C), (N,) -> (N,)
    """Return arcsin √p of the target's probability, to full precision near p = 1."""
    rest = log_p.double().scatter(1, target[:, None], -torch.inf).logsumexp(1)
    p = log_p.double().gather(1, target[:, None])[:, 0]
    return torch.atan2((p / 2).exp(), (rest / 2).exp())


def swapped(log_p: Tensor, target: Tensor) -> Tensor:  # (N, C), (N,) -> (N, C)
    """Exchange the probabilities of the predicted class and the target."""
    own = log_p.argmax(1, keepdim=True)
    to = target[:, None]
    return log_p.scatter(1, own, log_p.gather(1, to)).scatter(1, to, log_p.gather(1, own))


def questions(
    network: nn.Module, images: Images, x: Tensor, seed: int, tolerance: float
) -> dict[str, Question]:
    """Ask for the second most probable class of every image, and for a random other class."""
    log_p = log_probs(network, x)
    classes = log_p.shape[1]
    generator = torch.Generator().manual_seed(seed)
    other = torch.randint(1, classes, (len(x),), generator=generator)
    targets = {
        RUNNER_UP: log_p.topk(2).indices[:, 1],
        RANDOM: (log_p.argmax(1) + other) % classes,
    }
    return {
        name: Question(x, target, swapped(log_p, target), nearest(images, x, target), tolerance)
        for name, target in targets.items()
    }


def nearest(images: Images, x: Tensor, target: Tensor) -> Tensor:  # (N, ...)
    """Return the training image of the target class with the least Euclidean distance to x."""
    found = []
    for image, label in zip(x, target, strict=True):
        of_class = images.train[images.train_labels == label]
        distance = (of_class - image).flatten(1).norm(dim=1)
        found.append(of_class[distance.argmin()])
    return torch.stack(found)
