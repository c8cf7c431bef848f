"""Generators in the attributes of a data set keep their state."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from lightning_leaf.data.generators import unchanged_generators

GENERATORS: dict[str, tuple[Any, Any]] = {
    "torch": (
        lambda: torch.Generator().manual_seed(0),
        lambda g: torch.rand(1, generator=g).item(),
    ),
    "numpy": (lambda: np.random.default_rng(0), lambda g: g.random()),
    "numpy, old": (lambda: np.random.RandomState(0), lambda g: g.rand()),
    "python": (lambda: random.Random(0), lambda g: g.random()),
}


class Carrier:
    def __init__(self, content: Any) -> None:
        self.content = content

    def collate(self, batch: Any) -> Any:
        return batch


PLACES: dict[str, Any] = {
    "in an attribute": Carrier,
    "in a transform of a list": lambda g: Carrier([Carrier(g), Carrier(None)]),
    "in a dict": lambda g: Carrier({"rng": g}),
    "behind a method": lambda g: Carrier(g).collate,
    "in a reference cycle": lambda g: _cyclic(g),
}


def _cyclic(generator: Any) -> Carrier:
    outer = Carrier(generator)
    outer.itself = outer
    return outer


@pytest.mark.parametrize(("make", "draw"), GENERATORS.values(), ids=GENERATORS.keys())
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_generator_keeps_its_state(make: Any, draw: Any, place: Any) -> None:
    generator, expected = make(), make()
    draw(generator), draw(expected)
    with unchanged_generators(place(generator)):
        inside = draw(generator)
    assert draw(generator) == draw(expected) == inside
    # Negative control: outside the context the state changes.
    draw(generator)
    assert draw(generator) != draw(expected)


def test_large_collections_are_not_searched() -> None:
    class Watched(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise AssertionError("a large collection was searched")

    with unchanged_generators(Carrier(Watched(range(1000)))):
        pass
