"""Ways to change an image so that a classifier says another class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor, nn

from examples.counterfactuals.question import Question
from examples.counterfactuals.scale import Scale
from examples.counterfactuals.training import unit_vectors
from examples.paper.walked import log_probs, norm
from lightning_leaf import LeafPath, LocalDataMatrix, Normalization, horizontal_path
from lightning_leaf import prediction_path as lift

PREDICTION, PREDICTION_VALID = "prediction path", "prediction path, valid pixels"
ASCENT, ASCENT_VALID = "gradient ascent", "gradient ascent, valid pixels"
LEAST_CLASS, LEAST_SURE = "least change, class only", "least change, as sure"
LINE, ALGORITHM_1 = "straight line", "Algorithm 1"
WAYS = (
    PREDICTION,
    PREDICTION_VALID,
    ASCENT,
    ASCENT_VALID,
    LEAST_CLASS,
    LEAST_SURE,
    LINE,
    ALGORITHM_1,
)
SAMPLE = 10
"""The share in D of a step of gradient ascent is measured at every tenth step."""
LINE_SHARES = (0.0, 0.25, 0.5, 0.75)
"""Places on the straight line, as shares of the change, at which its share in D is measured."""
CHUNK = 256
"""Number of points at which the tangent distribution is computed at once."""
TURN, SHRINK = 2.0, 0.05
"""First step of the search for the least change: its length in input units, and the part by which
the change becomes shorter or longer."""


@dataclass(frozen=True)
class Answer:
    """The changed images.

    Attributes:
        end: The changed images, ``(N, ...)``.
        passes: Backward passes for each image, ``(N,)``.
        horizontality: Mean share in D of the steps, ``(N,)``; NaN if there are no steps.
    """

    end: Tensor
    passes: Tensor
    horizontality: Tensor


def answers(
    network: nn.Module, question: Question, scale: Scale, valid: Normalization
) -> Iterator[tuple[str, Answer]]:
    """Change the images in every way."""
    for name in WAYS:
        yield name, _WAYS[name](network, question, scale, valid)


def prediction_path(
    network: nn.Module, question: Question, scale: Scale, valid: Normalization | None
) -> Answer:
    """Lift the Fisher–Rao geodesic from the prediction to the one asked for."""
    paths = lift(
        network,
        question.x,
        question.target,
        tolerance=question.tolerance,
        max_steps=scale.path_steps,
        normalize=valid,
        keep_points=2,
        progress=False,
    )
    return of_paths(paths, paths.steps)


def algorithm_1(
    network: nn.Module, question: Question, scale: Scale, valid: Normalization | None
) -> Answer:
    """Follow Algorithm 1 towards the nearest training image, up to the first sure prediction."""
    distance = norm(question.nearest - question.x)
    paths = horizontal_path(
        network,
        question.x,
        question.nearest,
        step_size=scale.paper_step * distance,
        max_steps=scale.paper_steps,
        keep_points=2 * (scale.paper_steps + 1),  # every point
        progress=False,
    )
    last = []
    for i, path in enumerate(paths):
        one = question.select(torch.full((path.steps + 1,), i))
        last.append(first_true(one.is_sure(path.log_probs), path.steps))
    return of_paths(paths, torch.tensor(last))


def of_paths(paths: LeafPath, last: Tensor) -> Answer:
    """Return the points of paths after ``last`` steps (N,), which must have been kept."""
    ends, shares = [], []
    for path, step in zip(paths, last.tolist(), strict=True):
        ends.append(path.points[path.point_steps.tolist().index(step)])
        shares.append(path.horizontality[:step].nanmean())
    directions = paths.log_probs.shape[-1] - 1  # each takes one backward pass at every point
    return Answer(torch.stack(ends), last.double() * directions, torch.stack(shares))


def ascent(
    network: nn.Module, question: Question, scale: Scale, valid: Normalization | None
) -> Answer:
    """Step along the gradient of the target's log-probability until the prediction is sure."""
    return climb(network, question, scale, question.least_log_odds, valid=valid)


def climb(
    network: nn.Module,
    question: Question,
    scale: Scale,
    level: Tensor,  # (N,)
    *,
    strongest: bool = False,
    valid: Normalization | None = None,
) -> Answer:
    """Step along the gradient of the target's log-odds, up to a level; see :func:`log_odds`."""
    x = question.x.clone()
    steps = torch.zeros(len(x), dtype=torch.float64)
    sampled: list[tuple[Tensor, Tensor, Tensor]] = []  # rows, points and steps
    rows = torch.arange(len(x))
    for step in range(scale.ascent_steps):
        odds, gradient = log_odds(network, x[rows], question.target[rows], strongest=strongest)
        going = odds < level[rows]
        rows, gradient = rows[going], gradient[going]
        if not len(rows):
            break
        moved = x[rows] + scale.ascent_step * unit_vectors(gradient)
        if valid is not None:
            moved = valid.from_pixels(valid.to_pixels(moved).clamp(0, 1))
        if step % SAMPLE == 0:
            sampled.append((rows, x[rows], moved - x[rows]))
        x[rows] = moved
        steps[rows] += 1
    return Answer(x, steps, mean_share(network, sampled, len(x)))


def least_change(
    network: nn.Module, question: Question, scale: Scale, *, class_only: bool
) -> Answer:
    """Search the least change with which the target's log-odds reach a level.

    The search begins at the end of a gradient ascent. At every step the change turns towards the
    gradient, and becomes shorter if the level is reached, else longer: the decoupled direction and
    norm of Rony et al. (2019). The least of all changes that reach the level is returned.

    Args:
        network: The classifier.
        question: Images and targets.
        scale: Settings.
        class_only: Ask for the class alone: log-odds of at least 0 against the strongest other
            class. Else, ask for the log-odds of a sure prediction against all other classes.
    """
    start = question.x
    level = torch.zeros(len(start)).double() if class_only else question.least_log_odds
    climbed = climb(network, question, scale, level, strongest=class_only)
    best = x = climbed.end
    size = least = norm(x - start)  # (N,)
    for step in range(scale.least_steps):
        odds, gradient = log_odds(network, x, question.target, strongest=class_only)
        arrived = odds >= level
        closer = arrived & (norm(x - start) < least)
        best = torch.where(per_image(closer, x), x, best)
        least = torch.where(closer, norm(x - start), least)
        rest = 0.5 * (1 + cos(pi * step / scale.least_steps))  # falls from 1 to 0
        size = size * torch.where(arrived, 1 - SHRINK * rest, 1 + SHRINK * rest)
        turned = unit_vectors(x - start + TURN * rest * unit_vectors(gradient))
        x = start + per_image(size.to(x.dtype), x) * turned
    nothing = torch.full((len(x),), torch.nan, dtype=torch.float64)
    return Answer(best, climbed.passes + scale.least_steps, nothing)


def line(
    network: nn.Module, question: Question, scale: Scale, valid: Normalization | None
) -> Answer:
    """Go straight to the nearest training image, up to the first sure prediction."""
    change = question.nearest - question.x
    shares = torch.linspace(0, 1, scale.line_points + 1)[1:]
    sure = torch.stack(
        [question.is_sure(log_probs(network, question.x + share * change)) for share in shares]
    )  # (points, N)
    last = [first_true(one, len(shares) - 1) for one in sure.T]
    end = question.x + per_image(shares[last], change) * change
    rows = torch.arange(len(change))
    steps = [(rows, question.x + share * (end - question.x), change) for share in LINE_SHARES]
    return Answer(end, torch.zeros(len(end)).double(), mean_share(network, steps, len(end)))


def log_odds(
    network: nn.Module, x: Tensor, target: Tensor, *, strongest: bool = False
) -> tuple[Tensor, Tensor]:  # (N,), (N, ...)
    """Return the log-odds of the target against all other classes, or the strongest, and ∇ₓ.

    The gradient of log p is (1 − p) times that of the log-odds log p/(1 − p).
    """
    x = x.detach().requires_grad_()
    scores = network(x).double()
    rest = scores.scatter(1, target[:, None], -torch.inf)
    others = rest.amax(1) if strongest else rest.logsumexp(1)
    odds = scores.gather(1, target[:, None])[:, 0] - others
    return odds.detach(), torch.autograd.grad(odds.sum(), x)[0]


def mean_share(
    network: nn.Module, steps: list[tuple[Tensor, Tensor, Tensor]], count: int
) -> Tensor:  # (N,)
    """Average ‖Πδ‖ / ‖δ‖ over the steps δ of each image; NaN without one."""
    total, known = torch.zeros(2, count, dtype=torch.float64)
    if not steps:
        return total / known
    rows, x, change = (torch.cat(parts) for parts in zip(*steps, strict=True))
    parts = zip(torch.split(x, CHUNK), torch.split(change, CHUNK), strict=True)
    share = torch.cat([share_in_tangent(network, *part) for part in parts])
    total.index_add_(0, rows, share.nan_to_num(0))
    known.index_add_(0, rows, share.isfinite().double())
    return total / known


def share_in_tangent(network: nn.Module, x: Tensor, v: Tensor) -> Tensor:  # (N,)
    """Return the share ‖Πv‖ / ‖v‖ of a change that lies in D at x."""
    return norm(LocalDataMatrix.at(network, x).project(v)) / norm(v)


def per_image(values: Tensor, x: Tensor) -> Tensor:  # (N,) -> (N, 1, ...)
    return values.reshape(-1, *[1] * (x.ndim - 1))


def first_true(flags: Tensor, default: int) -> int:
    """Return the first place where flags (T,) are true."""
    return int(flags.int().argmax()) if bool(flags.any()) else default


_WAYS: dict[str, Callable[[nn.Module, Question, Scale, Normalization], Answer]] = {
    PREDICTION: lambda network, question, scale, valid: prediction_path(
        network, question, scale, None
    ),
    PREDICTION_VALID: prediction_path,
    ASCENT: lambda network, question, scale, valid: ascent(network, question, scale, None),
    ASCENT_VALID: ascent,
    LEAST_CLASS: lambda network, question, scale, valid: least_change(
        network, question, scale, class_only=True
    ),
    LEAST_SURE: lambda network, question, scale, valid: least_change(
        network, question, scale, class_only=False
    ),
    LINE: line,
    ALGORITHM_1: algorithm_1,
}
