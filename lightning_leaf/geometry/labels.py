"""Functions of the probabilities of independent labels, accurate where p is near zero or one."""

import torch
from torch import Tensor


def log_complement(log_p: Tensor) -> Tensor:
    """Return log(1 − p), float64, accurate also where p rounds to one."""
    return (-torch.expm1(log_p.double())).log()


def label_logits(log_p: Tensor) -> Tensor:
    """Return log p − log(1 − p), float64."""
    return log_p.double() - log_complement(log_p)


def label_angles(log_p: Tensor) -> Tensor:
    """Return φ = 2·arcsin √p, float64, from 0 to π: the Fisher–Rao metric is Euclidean in φ."""
    return 2 * torch.atan2((0.5 * log_p.double()).exp(), (0.5 * log_complement(log_p)).exp())


def log_probs_of_angles(angle: Tensor) -> Tensor:
    """Return log p from φ = 2·arcsin √p; the inverse of :func:`label_angles`."""
    sine, cosine = torch.sin(0.5 * angle), torch.cos(0.5 * angle)
    log_sine = 2 * sine.abs().log()
    return torch.where(sine.abs() < cosine.abs(), log_sine, torch.log1p(-cosine.square()))
