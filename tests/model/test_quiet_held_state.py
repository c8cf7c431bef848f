"""quiet(model) restores what modules hold besides parameters and buffers."""

import functools
import os
import random
import threading
from array import array
from collections import OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lightning_leaf.model import held_state
from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model.quiet import quiet

SEEN: list[int] = []
calls = 0


class Meter:
    """An object of the project with state of its own."""

    def __init__(self) -> None:
        self.count, self.history = 0, {"sizes": [0]}

    def update(self, x):
        self.count += 1
        self.history["sizes"].append(len(x))


class Named(OrderedDict):
    """A dict that cannot copy itself, because a name is required."""

    def __init__(self, name, *items):
        super().__init__(*items)
        self.name = name


class Remembering(nn.Module):
    """A module with state that is neither a parameter, a buffer nor a plain attribute."""

    classwide = 0
    shared: dict[str, int] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.nested = defaultdict(list, {"sizes": [0]})
        self.named = Named("sizes", {"largest": 0})
        self.recent = OrderedDict(first=0, second=0)
        self.system = random.SystemRandom()
        self.latest = deque([0, 0, 0], maxlen=3)
        self.pair = ([0], {"x": {0}})
        self.plain = torch.zeros(3)
        self.not_a_number = torch.tensor(float("nan"))
        self.array = np.zeros(2)
        self.numbers = [array("d", [0.5, float("nan")]), array("l", [2]), array("l")]
        self.bytes = bytearray(2)
        self.views = np.frombuffer(self.numbers[0]), memoryview(self.bytes)
        self.meter = Meter()
        self.generator = torch.Generator().manual_seed(0)
        self.others = [random.Random(0), np.random.default_rng(0), np.random.RandomState(0)]
        self.teacher = [nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))]  # not a sub-module
        self.weights = [nn.Parameter(torch.ones(3))]
        self.hooked: list[torch.Tensor] = []
        hooked = 0

        def hook(module, inputs, output):
            nonlocal hooked
            hooked += 1
            SEEN.append(hooked)
            self.hooked.append(output)

        self.layer = nn.Linear(3, 3)
        self.layer.register_forward_hook(hook)
        self.layer.register_forward_pre_hook(functools.partial(self.count, self.meter))
        self.closure = hook.__closure__

    @staticmethod
    def count(meter, module, inputs):
        meter.count += 1

    def forward(self, x):
        global calls
        calls += 1
        Remembering.classwide += 1
        self.shared["calls"] = calls
        self.nested["sizes"].append(len(x))
        self.nested["new"].append(x)
        self.named["largest"] = len(x)
        self.recent.move_to_end("first")
        self.latest.append(len(x))
        self.pair[0].append(1)
        self.pair[1]["x"].add(1)
        self.plain += 1
        self.array += 1
        self.numbers[0][0] += 1
        self.numbers[1].append(1)
        self.numbers[2].extend([1, 2])
        self.bytes[0] += 1
        self.meter.update(x)
        torch.rand(1, generator=self.generator)
        self.others[0].random()
        self.others[1].random()
        self.others[2].rand()
        with torch.no_grad():
            self.weights[0].mul_(2)
            self.teacher[0][0].weight.mul_(0.9)
        return self.layer(x) + self.teacher[0](x)


def state(model):
    """Return everything that the forward pass changes, as numbers."""
    cells = [cell.cell_contents for cell in model.closure]
    python, numpy, older = model.others
    return {
        "nested": {name: list(values) for name, values in model.nested.items()},
        "subclass": dict(model.named),
        "order": list(model.recent),
        "deque": list(model.latest),
        "in a tuple": ([*model.pair[0]], {*model.pair[1]["x"]}),
        "plain tensor": model.plain.tolist(),
        "array": model.array.tolist(),
        "arrays of the standard library": [str(each) for each in model.numbers],
        "bytes": bytes(model.bytes),
        "object": (model.meter.count, [*model.meter.history["sizes"]]),
        "torch generator": model.generator.get_state().tolist(),
        "python generator": python.getstate(),
        "numpy generators": (str(numpy.bit_generator.state), str(older.get_state())),
        "hidden buffers": [buffer.tolist() for buffer in model.teacher[0].buffers()],
        "hidden weights": [p.tolist() for p in (*model.teacher[0].parameters(), *model.weights)],
        "hidden mode": [part.training for part in model.teacher[0].modules()],
        "class": (Remembering.classwide, dict(Remembering.shared)),
        "global": (calls, [*SEEN]),
        "hook": ([cell for cell in cells if isinstance(cell, int)], len(model.hooked)),
    }


def test_everything_that_a_forward_pass_changes_is_restored():
    model = Remembering()
    before, version = state(model), model.not_a_number._version
    objects = model.nested, model.latest, model.plain, model.meter, model.teacher[0]
    with quiet(model):
        model(torch.rand(2, 3))
        during = state(model)
    assert {name for name in before if before[name] == during[name]} == {"hidden mode"}
    assert state(model) == before
    now = model.nested, model.latest, model.plain, model.meter, model.teacher[0]
    assert all(a is b for a, b in zip(objects, now, strict=True))
    assert model.not_a_number._version == version  # NaN counts as unchanged
    # Negative control: an ordinary forward pass.
    model(torch.rand(2, 3))
    assert [name for name in before if state(model)[name] == before[name]] == ["hidden mode"]


def test_without_the_search_only_attributes_are_restored(monkeypatch):
    """Negative control."""
    monkeypatch.setattr(held_state, "MOST_SEARCHED", 0)
    model = Remembering()
    before = state(model)
    with quiet(model):
        model(torch.rand(2, 3))
    changed = {name for name, value in state(model).items() if value != before[name]}
    assert {"nested", "deque", "plain tensor", "object", "torch generator", "hook"} <= changed


def test_large_data_is_not_copied(monkeypatch):
    monkeypatch.setattr(held_state, "LARGEST_COPIED", 100)
    model = nn.Linear(3, 3)
    model.small, model.large = torch.zeros(5), torch.zeros(500)
    model.array = np.zeros(500)
    found = held_state.HeldState(model)
    assert [tensor.numel() for tensor in found.tensors] == [5]
    assert found.arrays == []


def test_long_chains_of_objects_are_searched_without_recursion():
    model = Remembering()
    model.chain = link = []
    for _ in range(5000):
        link.append([])
        link = link[0]
    with quiet(model):
        link.append("changed")
    assert link == []


class Shared:
    """An object that another thread changes during a measurement."""

    def __init__(self) -> None:
        self.lock, self.items = threading.Lock(), []


def test_objects_that_threads_share_are_left_alone():
    model = Remembering()
    model.shared_object, model.own = Shared(), Meter()
    with quiet(model):
        thread = threading.Thread(target=model.shared_object.items.append, args=(1,))
        thread.start()
        thread.join()
        model.own.count = 5
    assert (model.shared_object.items, model.own.count) == ([1], 0)


class Keeping(Dataset):
    """A data set, which belongs to the training and not to the model."""

    def __init__(self) -> None:
        self.items = []


def test_data_sets_are_left_alone():
    model = Remembering()
    model.data = Keeping()
    found = held_state.HeldState(model)
    namespaces = [id(namespace) for namespace in found.namespaces]
    assert id(vars(model.meter)) in namespaces
    assert id(vars(model.data)) not in namespaces
    assert all(id(each) != id(model.data.items) for each in found.collections)


@torch.no_grad()
def decorated(module, inputs, output):
    SEEN.append(1)


def test_functions_of_libraries_are_searched_for_the_functions_that_they_wrap():
    model = nn.Linear(3, 3)
    model.register_forward_hook(decorated)
    before = [*SEEN]
    with quiet(model):
        model(torch.rand(2, 3))
        assert before != SEEN
    assert before == SEEN
    found = held_state.HeldState(model)
    assert all(namespace["__name__"] == __name__ for namespace, _ in found.variables)


def change_settings() -> None:
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.autograd.set_detect_anomaly(True)
    torch.set_num_threads(torch.get_num_threads() + 1)
    os.environ["LEAF_TEST_SETTING"] = "1"
    os.environ.pop("PATH")


def settings():
    return (
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.is_anomaly_enabled(),
        torch.get_num_threads(),
        dict(os.environ),
    )


@pytest.mark.parametrize("guarded", [True, False])
def test_settings_of_the_process_are_restored(guarded, monkeypatch):
    before = settings()
    with quiet_module.unchanged_settings():  # for the negative control
        if not guarded:
            monkeypatch.setattr(quiet_module, "unchanged_settings", quiet_module.ExitStack)
        with quiet(nn.Linear(3, 3)):
            change_settings()
        changed = [a != b for a, b in zip(settings(), before, strict=True)]
    assert changed == [not guarded] * 6
    assert settings() == before
