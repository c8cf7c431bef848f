"""Find the objects in which modules and others keep state besides parameters and buffers."""

from __future__ import annotations

import functools
import queue
import random
import sys
import threading
import types
from array import array
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_leaf.model.parts import buffers_of, parameters_of, parts_of
from lightning_leaf.model.user_code import (
    LIBRARIES,
    is_user_code,
    methods_called,
    names_used,
    package_of,
)

LARGEST_SEARCHED = 4096
"""Longer collections are restored, but not searched for others."""
MOST_SEARCHED = 100_000
"""Number of objects after which the search ends."""
LARGEST_COPIED = 2**26
"""Number of bytes of a larger tensor or array, which is data rather than state."""

COLLECTIONS = list, dict, set, deque, bytearray, array
FLAT = bytearray, array
"""Collections of numbers, which are never searched."""
GENERATORS = torch.Generator, np.random.Generator, np.random.RandomState, random.Random
LOCKS = type(threading.Lock()), type(threading.RLock())
OF_THREADS = (*LOCKS, threading.Thread, threading.Event, threading.Condition, queue.Queue)
PLAIN = {int, float, str, bool, bytes, complex, type(None), torch.dtype, torch.device, torch.Size}

# Contents of these attributes are parts, parameters and buffers of the module, or not called.
NOT_SEARCHED = {
    "_modules",
    "_parameters",
    "_buffers",
    "_trainer",
    "_fabric",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
}

Variable = tuple[dict[str, Any], str]


class HeldState:
    """The objects that the forward pass of a model, or methods of another object, may change.

    The search follows the attributes and forward hooks of all sub-modules: collections and what
    they contain, objects of classes from the user's code and from the packages of the modules, and
    the variables to which ``forward``, what it calls, and hooks refer. Objects that several threads
    share are left out.

    Args:
        owner: A model, or another object that has methods of the user, such as a
            ``LightningDataModule``. The data sets and the trainer that it holds are left out.
        methods: Its methods that are called besides ``forward``.

    Attributes:
        namespaces: Attributes of modules and other objects.
        collections: Lists, dicts, sets, deques, and arrays of the standard library.
        slots: Objects and the names of their slots.
        variables: Global variables by their namespace and name.
        cells: Variables of enclosing functions.
        tensors: Tensors that are neither parameters nor buffers.
        arrays: NumPy arrays.
        generators: Random number generators.
        hidden: Modules that are not sub-modules, such as a teacher in a list.
        classes: Classes of the model that were not defined by a library.
    """

    def __init__(self, owner: object, methods: Iterable[str] = ()) -> None:
        self.namespaces: list[dict[str, Any]] = []
        self.collections: list[Any] = []
        self.slots: list[tuple[object, str]] = []
        self.variables: list[Variable] = []
        self.cells: list[types.CellType] = []
        self.tensors: list[Tensor] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.generators: list[Any] = []
        self.hidden: list[nn.Module] = []
        self.classes: set[type] = set()
        self._packages: set[str] = set()
        self._seen: set[int] = set()
        self._pending: list[Any] = []
        self._methods = ("forward", *methods)
        if isinstance(owner, nn.Module):
            self._add_modules(owner)
        else:
            self._seen.add(id(owner))
            self._add_class(type(owner))
            self._add_object(owner)
        self._pending += nn.modules.module._global_forward_hooks.values()
        self._pending += nn.modules.module._global_forward_pre_hooks.values()
        while self._pending and len(self._seen) < MOST_SEARCHED:
            self._add(self._pending.pop())

    def _add_modules(self, model: nn.Module) -> None:
        parts = [part for part in parts_of(model) if id(part) not in self._seen]
        self._seen.update(map(id, parts))
        self._seen.update(map(id, parameters_of(parts)))
        self._seen.update(map(id, buffers_of(parts)))
        for kind in set(map(type, parts)):
            self._add_class(kind)
        for part in parts:
            self._add_namespace(vars(part))
            if type(part) in self.classes:
                self._add_slots(part)

    def _add_class(self, kind: type) -> None:
        package = package_of(kind)
        if kind in self.classes or package in LIBRARIES or package in sys.stdlib_module_names:
            return
        self.classes.add(kind)
        self._packages.add(package)
        for name in self._methods:
            for method in methods_called(kind, name):
                self._add_function(method)
        self._pending += (value for value in vars(kind).values() if isinstance(value, COLLECTIONS))
        for base in kind.__bases__:
            self._add_class(base)

    def _add_namespace(self, namespace: dict[str, Any]) -> None:
        self.namespaces.append(namespace)
        for name, value in namespace.items():
            if type(value) in PLAIN:
                continue
            if name in NOT_SEARCHED or (type(value) is OrderedDict and not value):
                # Almost all collections of modules are these, most of them empty.
                if isinstance(value, COLLECTIONS):
                    self.collections.append(value)
            else:
                self._pending.append(value)

    def _add(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, COLLECTIONS):
            if isinstance(value, FLAT):
                if memoryview(value).nbytes <= LARGEST_COPIED:
                    self.collections.append(value)
                return
            self.collections.append(value)
            if 0 < len(value) <= LARGEST_SEARCHED:
                self._pending += value.values() if isinstance(value, dict) else value
        elif isinstance(value, tuple):
            self._pending += value
        elif isinstance(value, Tensor):
            if value.nbytes <= LARGEST_COPIED:
                self.tensors.append(value)
        elif isinstance(value, nn.Module):
            self.hidden.append(value)
            self._add_modules(value)
        elif isinstance(value, np.ndarray):
            if value.nbytes <= LARGEST_COPIED and value.flags.writeable:
                self.arrays.append(value)
        elif isinstance(value, random.SystemRandom):  # without a state
            return
        elif isinstance(value, GENERATORS):
            self.generators.append(value)
        elif isinstance(value, functools.partial):
            self._pending += value.func, value.args, value.keywords
        elif isinstance(value, types.MethodType):
            self._pending += value.__self__, value.__func__
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            self._add_used_class(value)
        elif self._is_of_the_model(kind):
            self._add_object(value)

    def _add_object(self, value: object) -> None:
        attributes = getattr(value, "__dict__", None)
        attributes = attributes if isinstance(attributes, dict) else {}
        # What another thread changes at the same time must not be restored.
        if not any(isinstance(each, OF_THREADS) for each in attributes.values()):
            self._add_namespace(attributes)
            self._add_slots(value)

    def _add_used_class(self, kind: type) -> None:
        """Add the attributes and methods of a class to which a function refers."""
        if not self._is_of_the_model(kind) or kind in self.classes:
            return
        self.classes.add(kind)
        for value in vars(kind).values():
            value = getattr(value, "__func__", value)
            if not isinstance(value, type) and type(value) not in PLAIN:
                self._pending.append(value)

    def _is_of_the_model(self, kind: type) -> bool:
        """Return whether a class is of the user or the model's packages, and no data set.

        Those are based on classes of libraries. Callbacks are too, but may have hooks of the model.
        """
        if not (package_of(kind) in self._packages or is_user_code(kind.__module__)):
            return False
        return not any(
            issubclass(base, type)
            or (package_of(base) in LIBRARIES and base.__name__ != "Callback")
            for base in kind.__mro__
        )

    def _add_slots(self, value: object) -> None:
        for kind in type(value).__mro__:
            names = vars(kind).get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                if name not in ("__dict__", "__weakref__"):
                    self.slots.append((value, name))
                    self._pending.append(getattr(value, name, None))

    def _add_function(self, function: Any) -> None:
        if not isinstance(function, types.FunctionType):
            return
        of_library = function.__globals__.get("__name__", "").partition(".")[0] in LIBRARIES
        for cell in function.__closure__ or ():
            if not of_library:
                self.cells.append(cell)
            with suppress(ValueError):  # a variable without a value
                self._pending.append(cell.cell_contents)
        if of_library:
            return
        self._pending += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        names = names_used(function.__code__)
        self._add_variables(function.__globals__, names)

    def _add_variables(self, namespace: dict[str, Any], names: set[str]) -> None:
        for name in names & namespace.keys():
            value = namespace[name]
            if isinstance(value, types.ModuleType):
                if is_user_code(value.__name__):
                    self._add_variables(vars(value), names - {name})
                continue
            self.variables.append((namespace, name))
            if not isinstance(value, types.FunctionType) or is_user_code(value.__module__ or ""):
                self._pending.append(value)
