"""The inputs of a batch: which of its tensors they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.data.structure import Place, description
from lightning_leaf.data.targets import LABEL_KEYS
from lightning_leaf.errors import LeafError

INPUT_KEYS = (
    "image",
    "images",
    "img",
    "pixel_values",
    "x",
    "input",
    "inputs",
    "input_values",
    "data",
    "features",
    "signal",
)
"""Keys of the inputs in a batch that is a mapping; the first one with numbers is used."""

PARTS_OF_OTHER_KEYS = ("mask", "weight", "length")
"""Parts of the keys of tensors that accompany the inputs."""


def input_place(tree: dict[Place, Tensor], batch: Any, rows: int | None) -> Place:
    """Return the place of the inputs in a batch."""
    candidates = {
        place: leaf
        for place, leaf in tree.items()
        if leaf.ndim > 1 and len(leaf) and not _accompanies(place)
    }
    measurable = [place for place, leaf in candidates.items() if _is_measurable(leaf)]
    by_key = sorted(
        (place for place in candidates if _has_key(place, INPUT_KEYS)),
        # Bytes without the axes of an image, or integers, only if there is nothing else.
        key=lambda place: (place not in measurable, INPUT_KEYS.index(str(place[-1]).lower())),
    )
    lengths = Counter(len(leaf) for leaf in tree.values())
    most = max(lengths.values(), default=0)
    usual = {length for length, times in lengths.items() if times == most}
    ordered = [
        *(place for place in by_key if place in measurable),
        *(place for place in measurable if len(candidates[place]) in usual),
        *measurable,
        *by_key,
        *candidates,  # token numbers: refused later, with advice
    ]
    for place in ordered:
        # A list of images (channels, H, W) is not a batch of as many examples as channels.
        alone = rows is not None and len(candidates[place]) > 2 and lengths[len(tree[place])] == 1
        if not (alone and len(place) > 1 and isinstance(place[-1], int)):
            if place not in by_key:
                _require_unique(place, {each: candidates[each] for each in measurable}, tree)
            return place
    raise no_inputs(batch)


def _require_unique(
    chosen: Place, candidates: dict[Place, Tensor], tree: dict[Place, Tensor]
) -> None:
    """Check that no other key of a mapping could be that of the inputs.

    Raises:
        LeafError: If another tensor has the same shape, or both are images.
    """
    x = candidates.get(chosen)
    if x is None or not _is_key(chosen):
        return
    alike = [
        str(place[-1])
        for place, leaf in candidates.items()
        if _is_key(place)
        and place[:-1] == chosen[:-1]
        and (leaf.shape == x.shape or min(leaf.ndim, x.ndim) > 3)
    ]
    if len(alike) > 1:
        first, second = alike[:2]
        label = next((key for key in LABEL_KEYS if (key,) in tree), "target")
        raise LeafError(
            f"A batch expects one tensor of inputs; {', '.join(map(repr, alike))} can be inputs. "
            f'Say which, for example batch=("{second}", "{label}"). If the module takes several, '
            f'stack them: batch=lambda batch: (torch.stack([batch["{first}"], batch["{second}"]], '
            f'1), batch["{label}"]), forward=lambda module, x: module(x[:, 0], x[:, 1]), or '
            f"module({first}=x[:, 0], {second}=x[:, 1]) if it takes keywords."
        )


def _is_key(place: Place) -> bool:
    return bool(place) and isinstance(place[-1], str)


def _is_measurable(leaf: Tensor) -> bool:
    return leaf.is_floating_point() or (leaf.dtype == torch.uint8 and leaf.ndim > 2)


def _accompanies(place: Place) -> bool:
    key = place[-1].lower() if place and isinstance(place[-1], str) else ""
    return key in LABEL_KEYS or any(part in key for part in PARTS_OF_OTHER_KEYS)


def _has_key(place: Place, keys: Sequence[str]) -> bool:
    return bool(place) and isinstance(place[-1], str) and place[-1].lower() in keys


def no_inputs(batch: Any) -> LeafError:
    """Return the error of a batch without inputs."""
    return LeafError(
        "A batch expects inputs: a tensor (B, ...), or tuples, lists, dicts or dataclasses that "
        f"contain one; got {description(batch)}. Say where they are, for example "
        'batch="pixels" or batch=("pixels", "target"), or pass inputs to the callback: probe=x, '
        "pairs=(sources, destinations) or starts=x."
    )
