"""Undo what a forward pass does to the attributes of its modules and to what they hold."""

from __future__ import annotations

import operator
import random
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CellType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_leaf.model.dense_copies import cheapest_place
from lightning_leaf.model.held_state import FLAT, HeldState
from lightning_leaf.model.parts import buffers_of, parameters_of, parts_of, sharded_parts
from lightning_leaf.model.unchanged_tensors import unchanged_tensors
from lightning_leaf.model.undo import Step, run_all

_ABSENT = object()


@contextmanager
def unchanged_attributes(owner: object, methods: Iterable[str] = ()) -> Iterator[None]:
    """Restore the attributes of modules, and the state of the objects that they hold.

    Examples are counters, stored features, buffers, parameters and modules created at first use,
    items of nested collections, tensors that are no buffers, random number generators, and lists
    in which forward hooks collect features.
    :class:`~lightning_leaf.model.held_state.HeldState` finds them.

    Args:
        owner: The module, or another object that has methods of the user.
        methods: Its methods that are called besides ``forward``.
    """
    held = HeldState(owner, methods)
    parts = parts_of(owner) if isinstance(owner, nn.Module) else []
    hidden = [part for model in held.hidden for part in parts_of(model)]
    steps: list[Step] = [
        *_restoring_collections(held, parts),
        partial(_restore_classes, [(part, type(part)) for part in (*parts, *hidden)]),
        partial(_restore_modes, [(part, part.training) for part in hidden]),
        *(partial(_restore_slot, *each, getattr(*each, _ABSENT)) for each in held.slots),
        *(partial(_restore_variable, *each, each[0][each[1]]) for each in held.variables),
        *(partial(_restore_cell, cell, _contents(cell)) for cell in held.cells),
        *(partial(_restore_class_attributes, kind, _attributes(kind)) for kind in held.classes),
        *(partial(_restore_array, each, each.copy()) for each in held.arrays),
        *map(_restoring_generator, held.generators),
        *(step for part in (*parts, *hidden) for step in _restoring_script(part)),
    ]
    tensors = [*parameters_of(hidden), *held.tensors]
    with (
        unchanged_tensors(tensors, kept_on=cheapest_place(tensors)),
        unchanged_tensors(buffers_of(hidden)),
    ):
        try:
            yield
        finally:
            run_all(steps)


def _restoring_collections(held: HeldState, parts: Iterable[nn.Module]) -> Iterator[Step]:
    # Most collections are empty: copying them would take longer than anything else here.
    yield partial(_empty, [collection for collection in held.collections if not collection])
    # Sharded modules gather their parameters and shard them again themselves.
    left_out = {id(vars(part)["_parameters"]) for part in sharded_parts(parts)}
    for collection in held.collections:
        if collection and id(collection) not in left_out:
            yield partial(_restore_items, collection, _copied(collection))
    for namespace in held.namespaces:
        yield partial(_restore_items, namespace, dict(namespace))


def _copied(collection: Any) -> Any:
    """Return a plain copy: a subclass may not be able to copy itself."""
    if isinstance(collection, FLAT):
        return memoryview(collection).tobytes()
    kind = next((kind for kind in (dict, set) if isinstance(collection, kind)), list)
    return kind(collection)


def _empty(collections: Iterable[Any]) -> None:
    for collection in collections:
        if isinstance(collection, FLAT):
            del collection[:]
        elif collection:
            collection.clear()


def _restore_items(collection: Any, before: Any) -> None:
    """Restore the items of a collection if one of them is another object than before."""
    if isinstance(collection, FLAT):
        _restore_numbers(collection, before)
        return
    if len(collection) == len(before) and all(map(operator.is_, collection, before)):
        if not isinstance(collection, dict):
            return
        if all(map(operator.is_, collection.values(), before.values())):
            return
    if isinstance(collection, dict):
        for name in collection.keys() - before.keys():
            del collection[name]
        if len(collection) < len(before) or not all(map(operator.is_, collection, before)):
            collection.clear()  # restore their order too
        for name, value in before.items():
            if collection.get(name, _ABSENT) is not value:
                collection[name] = value
    elif isinstance(collection, set):
        collection.intersection_update(before)
        collection.update(before)
    else:
        collection.clear()
        collection.extend(before)


def _restore_numbers(numbers: Any, before: bytes) -> None:
    if memoryview(numbers).tobytes() != before:
        # In place: numbers of which there are views, as of NumPy, cannot be resized.
        numbers[:] = array(numbers.typecode, before) if isinstance(numbers, array) else before


def _restore_classes(classes: Iterable[tuple[nn.Module, type]]) -> None:
    for part, kind in classes:
        if type(part) is not kind:  # lazy modules change their class in the first forward pass
            part.__class__ = kind


def _restore_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    for part, training in modes:
        part.training = training


def _restore_slot(value: object, name: str, contents: Any) -> None:
    if getattr(value, name, _ABSENT) is contents:
        return
    if contents is _ABSENT:
        object.__delattr__(value, name)
    else:
        object.__setattr__(value, name, contents)


def _restore_variable(namespace: dict[str, Any], name: str, value: Any) -> None:
    if namespace.get(name, _ABSENT) is not value:
        namespace[name] = value


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable without a value
        return _ABSENT


def _restore_cell(cell: CellType, contents: Any) -> None:
    if _contents(cell) is contents:
        return
    if contents is _ABSENT:
        del cell.cell_contents
    else:
        cell.cell_contents = contents


def _attributes(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("__")}


def _restore_class_attributes(kind: type, before: dict[str, Any]) -> None:
    now = _attributes(kind)
    for name in now.keys() - before.keys():
        delattr(kind, name)
    for name, value in before.items():
        if now.get(name, _ABSENT) is not value:
            setattr(kind, name, value)


def _restore_array(values: np.ndarray[Any, Any], copy: np.ndarray[Any, Any]) -> None:
    if values.shape == copy.shape and values.tobytes() != copy.tobytes():
        values[...] = copy


def _restoring_generator(generator: Any) -> Step:
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state())
    return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)


def _restoring_script(part: nn.Module) -> Iterator[Step]:
    """Restore attributes of scripted modules, of which reading makes copies."""
    if not isinstance(part, torch.jit.ScriptModule) or not hasattr(part, "_concrete_type"):
        return  # frozen TorchScript keeps no attributes
    for name, (kind, _) in part._concrete_type.get_attributes().items():
        value = getattr(part, name, None)
        if isinstance(value, Tensor):
            continue
        if "Tensor" not in str(kind) and isinstance(value, (int, float, str, list, dict)):
            yield partial(_restore_script_attribute, part, name, value)


def _restore_script_attribute(part: nn.Module, name: str, value: Any) -> None:
    if getattr(part, name) != value:
        setattr(part, name, value)
