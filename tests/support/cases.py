"""Small models and inputs for the tests of the mathematics."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def fresh_seeds(count: int) -> list[int]:
    """Return seeds that differ between runs and are the same in all workers of a run."""
    run = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
    return [run.randrange(2**31) for _ in range(count)]


@dataclass(frozen=True)
class Case:
    """A classifier with random weights, and random inputs for it."""

    name: str
    model: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    classes: int

    def make(self, seed: int, batch: int = 5) -> tuple[nn.Module, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.model(), torch.randn(batch, *self.input_shape)

    def __str__(self) -> str:
        return self.name


def linear() -> nn.Module:
    return nn.Linear(20, 4)


def image_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(8 * 3 * 3, 10),
    )


def signal_net() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 5, 3), nn.GELU(), nn.Flatten(), nn.Linear(5 * 10, 6))


def inplace_first() -> nn.Module:
    return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(20, 5))


def confident() -> nn.Module:
    """Return a model with logits so far apart that small probabilities underflow in float32."""
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 4))
    with torch.no_grad():
        model[2].bias += torch.tensor([28.0, 0.0, 8.0, 0.0])
    return model


def frozen() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 3)).requires_grad_(False)


def log_probabilities() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5), nn.LogSoftmax(dim=1))


def dependent_scores() -> nn.Module:
    """Return a model with the same score for two classes: dim D_x is less than C − 1."""
    model = nn.Linear(20, 4)
    with torch.no_grad():
        model.weight[3] = model.weight[2]
    return model


CASES = [
    Case("linear", linear, (20,), 4),
    Case("image_cnn", image_cnn, (1, 10, 10), 10),
    Case("signal", signal_net, (2, 12), 6),
    Case("inplace_first", inplace_first, (20,), 5),
    Case("confident", confident, (20,), 4),
    Case("frozen", frozen, (20,), 3),
    Case("log_probabilities", log_probabilities, (20,), 5),
    Case("dependent_scores", dependent_scores, (20,), 4),
]


def saturated_labels() -> nn.Module:
    """Return a model with logits near 40, −40, 3 and 0: p or 1 − p of two labels is 4e-18."""
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 4))
    with torch.no_grad():
        model[2].bias += torch.tensor([40.0, -40.0, 3.0, 0.0])
    return model


def only_saturated_labels() -> nn.Module:
    model = nn.Linear(20, 3)
    with torch.no_grad():
        model.bias += torch.tensor([40.0, -40.0, 40.0])
    return model


def dependent_labels() -> nn.Module:
    """Return a model with the same gradient for two labels: dim D_x is less than C."""
    model = nn.Linear(20, 4)
    with torch.no_grad():
        model.weight[3] = -2 * model.weight[2]
    return model


LABEL_CASES = [
    *(case for case in CASES if case.name in ("linear", "image_cnn", "signal", "inplace_first")),
    Case("saturated_labels", saturated_labels, (20,), 4),
    Case("only_saturated_labels", only_saturated_labels, (20,), 3),
    Case("dependent_labels", dependent_labels, (20,), 4),
    Case("one_label", lambda: nn.Sequential(nn.Linear(20, 9), nn.ELU(), nn.Linear(9, 1)), (20,), 1),
    Case("more_labels_than_inputs", lambda: nn.Linear(6, 30), (6,), 30),
]
"""Models whose scores are measured as logits of independent labels."""
