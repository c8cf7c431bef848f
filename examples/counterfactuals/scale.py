"""The settings of the comparison, at full scale and for a quick trial."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_leaf.paths.prediction_path import TOLERANCE


@dataclass(frozen=True)
class Scale:
    """The settings of the comparison.

    Attributes:
        name: ``full`` or ``quick``.
        data: Images: ``mnist`` or ``digits``.
        seeds: Default number of networks for each kind of training.
        images: Number of test images for each network.
        training_steps: Optimizer steps of each kind of training.
        batch: Images in a batch.
        learning_rate: Largest learning rate.
        noise: Standard deviation of the noise in training, as a share of the range of pixels.
        attack: Largest Euclidean length of an adversarial perturbation in training, in pixels from
            0 to 1.
        tolerance: Fisher–Rao distance that counts as arrived.
        ascent_step: Length of a step of gradient ascent, in input units.
        ascent_steps: Largest number of these steps.
        least_steps: Steps of the search for the least change, after gradient ascent.
        line_points: Points of a straight line at which the model is evaluated.
        path_steps: Largest number of steps of a prediction path.
        paper_steps: Largest number of steps of Algorithm 1.
        paper_step: Its step size, as a share of the distance to the destination.
    """

    name: str
    data: str
    seeds: int
    images: int
    training_steps: dict[str, int]
    batch: int
    learning_rate: float
    noise: float
    attack: float
    tolerance: float
    ascent_step: float
    ascent_steps: int
    least_steps: int
    line_points: int
    path_steps: int
    paper_steps: int
    paper_step: float


FULL = Scale(
    name="full",
    data="mnist",
    seeds=5,
    images=32,
    training_steps={"plain": 1500, "noise": 2000, "adversarial": 2500},
    batch=64,
    learning_rate=0.1,
    noise=0.3,
    attack=2.0,
    tolerance=TOLERANCE,
    ascent_step=0.1,
    ascent_steps=500,
    least_steps=60,
    line_points=100,
    path_steps=200,
    paper_steps=100,
    paper_step=1 / 75,
)
QUICK = Scale(
    name="quick",
    data="digits",
    seeds=1,
    images=4,
    training_steps={"plain": 60, "noise": 60, "adversarial": 60},
    batch=64,
    learning_rate=0.2,
    noise=0.1,
    attack=0.75,
    tolerance=TOLERANCE,
    ascent_step=0.2,
    ascent_steps=60,
    least_steps=20,
    line_points=20,
    path_steps=40,
    paper_steps=30,
    paper_step=1 / 25,
)
