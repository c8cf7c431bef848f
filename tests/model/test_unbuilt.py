"""Models that are built by their first forward pass are refused, and stay as they are."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from lightning_leaf import LocalDataMatrix, MatrixFreeDataMatrix, horizontal_path
from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model import unbuilt
from lightning_leaf.model.classifier import measuring
from lightning_leaf.model.quiet import quiet
from lightning_leaf.model.unbuilt import ModelIsUnbuilt, is_unbuilt


def images() -> torch.Tensor:
    return torch.rand(3, 1, 6, 6)


def lazy() -> nn.Module:
    """Return a model whose lazy modules are inside of another."""
    layers = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    return nn.Sequential(nn.Sequential(*layers[:2]), *layers[2:])


def parameters(model: nn.Module) -> list[tuple[str, int]]:
    return [(name, id(parameter)) for name, parameter in model.named_parameters()]


def test_uninitialized_modules_are_refused_and_can_be_built_afterwards():
    model = lazy()
    before = [vars(part).copy() for part in model.modules()]
    with (
        pytest.raises(ModelIsUnbuilt, match=r"its LazyConv2d '0.0' has lazy.* model\(x\)"),
        measuring(model),
    ):
        pass
    assert [vars(part) for part in model.modules()] == before
    assert is_unbuilt(model)
    model(images())  # the advice
    assert not is_unbuilt(model)
    with measuring(model):
        pass


def test_inputs_measure_the_weights_that_the_next_call_draws():
    x = images()
    for training in (True, False):
        model = lazy().train(training)
        before = [vars(part).copy() for part in model.modules()]
        trace = LocalDataMatrix.at(model, x).trace()
        path = horizontal_path(model, x, x.flip(0), max_steps=2, progress=False)
        assert [vars(part) for part in model.modules()] == before
        model(x)
        assert torch.equal(LocalDataMatrix.at(model, x).trace(), trace)
        after = horizontal_path(model, x, x.flip(0), max_steps=2, progress=False)
        assert torch.equal(after.points, path.points)
        # Negative control: after other draws the weights are others.
        other = lazy().train(training)
        other(x)
        assert not torch.allclose(LocalDataMatrix.at(other, x).trace(), trace, rtol=1e-3)


def test_results_by_products_keep_the_weights_of_their_matrix():
    x = torch.rand(2, 5)
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(3))
    g = MatrixFreeDataMatrix.at(model, x)
    trace = g.trace()
    assert is_unbuilt(model)
    torch.rand(7)
    assert torch.equal(g.trace(), trace)


def test_reading_data_around_an_unbuilt_model_is_possible():
    model = lazy()
    with quiet(model):
        torch.rand(3)
    assert is_unbuilt(model)
    model(images())


def test_a_lazy_module_loaded_from_a_checkpoint_stays_one():
    built = nn.Sequential(nn.LazyLinear(3))
    built(torch.rand(2, 4))
    model = nn.Sequential(nn.LazyLinear(3))
    model.load_state_dict(built.state_dict())
    with quiet(model):
        model(torch.rand(2, 4))
        assert type(model[0]) is nn.Linear
    assert type(model[0]) is nn.LazyLinear
    assert torch.equal(model(torch.ones(1, 4)), built(torch.ones(1, 4)))
    assert type(model[0]) is nn.Linear


class Late(nn.Module):
    """A module that is finished by its first forward pass, in the given way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.register_parameter("scale", None)
        self.way, self.layer = way, nn.Linear(3, 3)

    def forward(self, x):
        if self.way == "assigned" and self.scale is None:
            self.scale = nn.Parameter(torch.randn(3))
        elif self.way == "registered" and not hasattr(self, "shift"):
            self.register_parameter("shift", nn.Parameter(torch.randn(3)))
        elif self.way == "module" and not hasattr(self, "late"):
            self.late = nn.Sequential(nn.Linear(3, 3))
        elif self.way == "appended" and not hasattr(self, "late"):
            self.late = nn.Sequential()
            self.late.append(nn.Linear(3, 3))
        elif self.way == "direct":
            self._parameters.setdefault("shift", nn.Parameter(torch.randn(3)))
        return self.layer(x)


WAYS = ("assigned", "registered", "module", "appended", "direct")


@pytest.mark.parametrize("way", WAYS)
def test_parameters_created_in_the_forward_pass_are_refused_and_removed(way):
    model = Late(way)
    before, stream = parameters(model), torch.get_rng_state()
    names = [*model._parameters], [*model._modules]
    with pytest.raises(
        ModelIsUnbuilt, match=r"creates '(scale|shift|late|0)'. Call the model once"
    ):
        LocalDataMatrix.at(model, torch.ones(2, 3))
    assert parameters(model) == before
    assert ([*model._parameters], [*model._modules]) == names
    assert torch.equal(torch.get_rng_state(), stream)
    model(torch.ones(2, 3))  # the advice
    assert len(parameters(model)) > len(before)
    assert LocalDataMatrix.at(model, torch.ones(2, 3)).trace().isfinite().all()


@pytest.mark.parametrize(
    ("missing", "remain"), [("refusing_new_parameters", False), ("unchanged_attributes", True)]
)
def test_both_precautions_against_new_parameters_are_needed(missing, remain, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(quiet_module, missing, lambda _: nullcontext())
    model = Late("direct")
    with nullcontext() if missing == "refusing_new_parameters" else pytest.raises(ModelIsUnbuilt):
        LocalDataMatrix.at(model, torch.ones(2, 3))
    assert ("shift" in model._parameters) == remain


class Harmless(nn.Module):
    """A module that creates no part of the model, replaces one and ties one to another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = None

    def forward(self, x):
        self.first.weight = nn.Parameter(self.first.weight.detach().clamp(-1, 1))
        self.second = nn.Linear(3, 3)
        self.activation = nn.Tanh()
        self.tied.weight = self.first.weight
        return self.tied(self.activation(nn.LayerNorm(3)(self.second(self.first(x)))))


def test_other_assignments_of_parameters_and_modules_are_allowed_and_undone():
    model = Harmless()
    before, parts = parameters(model), [id(part) for part in model.modules()]
    with quiet(model):
        model(torch.ones(2, 3))
    assert parameters(model) == before
    assert [id(part) for part in model.modules()] == parts


class ActNorm(nn.Module):
    """The first batch sets its shift and scale, as in normalizing flows."""

    def __init__(self, flag: str) -> None:
        super().__init__()
        self.shift, self.flag = nn.Parameter(torch.zeros(3)), flag
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.uint8))
        self.init_done = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.init_on_next_batch = True

    def forward(self, x):
        is_first = {
            "buffer": not self.initialized,
            "parameter": not self.init_done,
            "attribute": self.init_on_next_batch,
        }
        if is_first[self.flag]:
            self.shift.data.copy_(-x.mean(0))
            self.initialized.fill_(self.flag == "buffer")
            self.init_done.data.fill_(self.flag == "parameter")
            self.init_on_next_batch = self.flag != "attribute"
        return x + self.shift


@pytest.mark.parametrize("flag", ["buffer", "parameter", "attribute"])
def test_parts_initialized_by_the_first_batch_are_refused_and_restored(flag, monkeypatch):
    model = nn.Sequential(ActNorm(flag), nn.Linear(3, 3))
    with pytest.raises(ModelIsUnbuilt, match="ActNorm takes its first values from the first batch"):
        LocalDataMatrix.at(model, torch.rand(4, 3))
    assert model[0].shift.tolist() == [0, 0, 0]
    flags = int(model[0].initialized), int(model[0].init_done), model[0].init_on_next_batch
    assert flags == (0, 0, True)
    model(torch.rand(4, 3))
    LocalDataMatrix.at(model, torch.rand(4, 3))
    # Negative control: without the precaution, the measured inputs initialize it.
    monkeypatch.setattr(quiet_module, "refusing_initialization", lambda _: nullcontext())
    LocalDataMatrix.at(nn.Sequential(ActNorm(flag), nn.Linear(3, 3)), torch.rand(4, 3))


def test_modules_with_all_their_parameters_are_built():
    assert not is_unbuilt(nn.Linear(3, 3))
    assert not is_unbuilt(lambda x: x)
    unbuilt.require_built(nn.Linear(3, 3))
