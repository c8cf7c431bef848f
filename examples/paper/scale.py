"""The settings of the experiments: numbers of images, pairs and steps."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Settings of the experiments for one data set.

    Attributes:
        data: Images, see :mod:`examples.paper.images`.
        colour: Images for the experiments on CIFAR-10.
        seeds: Number of trainings, each with its own weights, batches, pairs and directions.
        learning_rate: Learning rate of SGD without momentum.
        train_steps: Optimizer steps of a training, with batches of 60.
        paper_step: Checkpoint of the experiments on paths; the paper's is 10 000.
        first_logged: First step at which the paper's code logged the trace.
        measured: Checkpoints at which trace and ranks are measured.
        probe: Number of images at which trace and ranks are measured.
        weights_probe: Number of images at which the Fisher matrix of the weights is measured.
        pairs: Pairs of images for horizontal paths.
        step_size, threshold: Step size and threshold of Algorithm 1, in input units.
        path_steps, noisy_steps: Maximum path steps of Algorithm 1, from clean and noisy images.
        published_pairs: Pairs of images for the published arithmetic.
        walks, walk_steps: Number of orthogonal walks, and path steps of each.
        noise_steps: Path steps of the orthogonal walk that adds noise to an image.
        points: Images at which derivatives are checked.
        leaf_pairs: Pairs of images for each kind of destination in ``leaf``.
        leaf_checkpoints: Optimizer steps of the networks in ``leaf``.
        colour_steps, colour_pairs, colour_width: Optimizer steps, pairs and channels of VGG-11.
        colour_published_steps: Path steps of VGG-11 with the published arithmetic.
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
        """Return the same settings with another length of training and its checkpoints."""
        added = range(self.train_steps, steps, max(1, self.train_steps // 10))
        measured = sorted({*self.measured, *added, steps})
        return replace(
            self, train_steps=steps, measured=tuple(step for step in measured if step <= steps)
        )


def growing(last: int, *first: int) -> tuple[int, ...]:
    """Return the given steps, followed by steps at growing intervals up to ``last``."""
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
    train_steps=300,
    paper_step=250,
    first_logged=10,
    measured=(0, 2, 5, 10, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300),
    probe=60,
    weights_probe=6,
    pairs=6,
    step_size=0.1,
    threshold=0.3,
    path_steps=160,
    noisy_steps=160,
    published_pairs=6,
    walks=12,
    walk_steps=120,
    noise_steps=30,
    points=8,
    leaf_pairs=3,
    leaf_checkpoints=(0, 10, 250),
    colour_steps=20,
    colour_pairs=2,
    colour_width=4,
    colour_published_steps=40,
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
