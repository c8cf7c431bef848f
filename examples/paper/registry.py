"""All experiments, in the order of the paper. The last three explain differences from the paper."""

from __future__ import annotations

from examples.paper import (
    activation_regions,
    adversarial,
    brackets,
    distance_to_leaf,
    fisher_of_weights,
    horizontal_paths,
    natural_images,
    no_digits,
    noisy_start,
    orthogonal_walks,
    other_curves,
    published_arithmetic,
    rank_bounds,
    second_order,
    trace_during_training,
)
from examples.paper.experiment import Experiment

MODULES = (
    rank_bounds,
    trace_during_training,
    orthogonal_walks,
    horizontal_paths,
    no_digits,
    noisy_start,
    natural_images,
    second_order,
    brackets,
    activation_regions,
    adversarial,
    fisher_of_weights,
    published_arithmetic,
    distance_to_leaf,
    other_curves,
)
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT for module in MODULES
}
