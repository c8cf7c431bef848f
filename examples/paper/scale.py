"""How much of everything is taken: the one place for numbers of images, pairs and steps."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Numbers of an experiment, for the data that it is run on.

    Attributes:
        data: Which images, see :mod:`examples.paper.images`.
        colour: Which images stand for CIFAR-10.
        seeds: Trainings, each with weights, batches, pairs and directions of its own.
        learning_rate: Of SGD without momentum.
        train_steps: Optimizer steps of a training; batches of 60.
        paper_step: The checkpoint that paths are walked at; the paper's is 10 000.
        first_logged: The first step at which the paper's code logged the trace.
        measured: Checkpoints at which trace and ranks are measured.
        probe: Images that trace and ranks are measured at.
        weights_probe: Images that the Fisher matrix of the weights is measured at.
        pairs: Pairs of images for horizontal paths.
        step_size, threshold: Of Algorithm 1, in input units.
        path_steps, noisy_steps: Of Algorithm 1 at most, from clean and from noisy images.
        published_pairs: Pairs that the published arithmetic is tried on.
        walks, walk_steps: Orthogonal walks, and steps of each.
        noise_steps: Of the orthogonal walk that makes an image noisy.
        points: Images at which derivatives are checked.
        leaf_pairs: Pairs for each kind of destination in ``leaf``.
        leaf_checkpoints: Steps of training at which ``leaf`` looks.
        colour_steps, colour_pairs, colour_width: Training, paths and channels of VGG-11.
        colour_published_steps: Of its paths by the published arithmetic.
    """

    name: str
    data: str
    colour: str
    seeds: int
    learning_rate: float
    train_steps: int
    paper_step: int
    first_logged: int
    measured: tuple[int, ...]
    probe: int
    weights_probe: int
    pairs: int
    step_size: float
    threshold: float
    path_steps: int
    noisy_steps: int
    published_pairs: int
    walks: int
    walk_steps: int
    noise_steps: int
    points: int
    leaf_pairs: int
    leaf_checkpoints: tuple[int, ...]
    colour_steps: int
    colour_pairs: int
    colour_width: int
    colour_published_steps: int

    def with_training(self, steps: int) -> Scale:
        """The same, trained for longer or shorter: what lies beyond is not measured."""
        added = range(self.train_steps, steps, max(1, self.train_steps // 10))
        measured = sorted({*self.measured, *added, steps})
        return replace(
            self, train_steps=steps, measured=tuple(step for step in measured if step <= steps)
        )


def growing(last: int, *first: int) -> tuple[int, ...]:
    """Steps at which to measure, those given and then ever further apart."""
    steps = [*first]
    while (step := steps[-1] + max(50, round(0.15 * steps[-1]))) < 0.95 * last:
        steps.append(step)
    return (*steps, last)


QUICK = Scale(
    name="quick",
    data="digits",
    colour="digits-32",
    seeds=1,
    learning_rate=0.2,
    train_steps=600,
    paper_step=500,
    first_logged=10,
    measured=(0, 2, 5, 10, 20, 40, 60, 80, 100, 140, 180, 220, 260, 300, 350, 400, 450, 500, 600),
    probe=100,
    weights_probe=10,
    pairs=12,
    step_size=0.05,
    threshold=0.3,
    path_steps=400,
    noisy_steps=300,
    published_pairs=12,
    walks=12,
    walk_steps=300,
    noise_steps=60,
    points=8,
    leaf_pairs=8,
    leaf_checkpoints=(0, 10, 100, 500),
    colour_steps=60,
    colour_pairs=4,
    colour_width=8,
    colour_published_steps=100,
)

FULL = Scale(
    name="full",
    data="mnist",
    colour="cifar10",
    seeds=3,
    learning_rate=0.01,
    train_steps=10_000,
    paper_step=10_000,
    first_logged=100,
    measured=growing(10_000, 0, 10, 20, 40, 60, 80, 100, 150, 200),
    probe=1000,
    weights_probe=50,
    pairs=100,
    step_size=0.1,
    threshold=1.0,
    path_steps=5000,
    noisy_steps=10_000,
    published_pairs=100,
    walks=100,
    walk_steps=1000,
    noise_steps=250,
    points=50,
    leaf_pairs=50,
    leaf_checkpoints=(0, 100, 1000, 3000, 10_000),
    colour_steps=3000,
    colour_pairs=20,
    colour_width=64,
    colour_published_steps=1000,
)
