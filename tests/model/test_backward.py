"""Measurements call no backward hooks, and recompute no activations."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

from lightning_leaf import LeafError, LocalDataMatrix, MatrixFreeDataMatrix, horizontal_path
from lightning_leaf.model import quiet as quiet_module
from lightning_leaf.model.quiet import quiet


def trace_in_float64(function, x):
    """Return the trace of Jᵀ(diag p − ppᵀ)J, an independent oracle."""
    traces = []
    for one in x.double():
        jacobian = torch.autograd.functional.jacobian(lambda z: function(z[None])[0], one).flatten(
            1
        )
        p = function(one[None])[0].detach().softmax(-1)
        traces.append((jacobian.T @ (torch.diag(p) - p[:, None] * p) @ jacobian).trace())
    return torch.stack(traces)


class InPlace(nn.Module):
    """A module that works in place on its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(5, 3)
        self.norms: list[float] = []

    def forward(self, x):
        x -= 0.5
        hidden = self.layer(x)
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: self.norms.append(float(gradient.norm())))
            hidden.register_hook(lambda gradient: 2 * gradient)
        return hidden


def hooked(seen):
    """Return a module with all kinds of backward hooks, which record and double gradients."""
    model = nn.Sequential(InPlace(), nn.Tanh())
    record = lambda *_: seen.append(1)  # noqa: E731
    for part in model.modules():
        part.register_full_backward_hook(record)
        part.register_full_backward_pre_hook(record)
    model[1].register_full_backward_hook(lambda module, grads, _: (2 * grads[0],))
    return model


def test_backward_hooks_are_not_called():
    seen: list[int] = []
    model = hooked(seen)
    handles = (
        nn.modules.module.register_module_full_backward_hook(lambda *_: seen.append(2)),
        nn.modules.module.register_module_full_backward_pre_hook(lambda *_: seen.append(2)),
    )
    dicts = [part._backward_hooks for part in model.modules()]
    layer, x = model[0].layer, torch.rand(2, 5)
    try:
        found = LocalDataMatrix.at(model, x).trace()
        horizontal_path(model, x, x.flip(0), max_steps=1)
        assert (seen, model[0].norms) == ([], [])
        # Negative control: a training still calls them.
        model[1](torch.rand(2, 3, requires_grad=True)).sum().backward()
        assert set(seen) == {1, 2}
    finally:
        for handle in handles:
            handle.remove()
    assert [id(part._backward_hooks) for part in model.modules()] == [id(each) for each in dicts]
    assert all(dicts)
    oracle = trace_in_float64(lambda z: layer.double()(z - 0.5).tanh(), x)
    assert torch.allclose(found, oracle, rtol=1e-5)


def test_in_place_modules_with_backward_hooks_need_the_precaution(monkeypatch):
    """Negative control."""
    monkeypatch.setattr(quiet_module, "no_backward_hooks", lambda _: nullcontext())
    with pytest.raises((LeafError, RuntimeError), match="view and is being modified inplace"):
        LocalDataMatrix.at(hooked([]), torch.rand(2, 5))


class Checkpointed(nn.Module):
    """A module that recomputes its convolutions in the backward pass."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolutions = nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Flatten()
        self.way, self.net, self.head = way, nn.Sequential(*convolutions), nn.Linear(64, 3)

    def forward(self, x):
        if self.way == "plain":
            return self.head(self.net(x))
        if self.way == "sequential":
            return self.head(checkpoint_sequential(self.net, 2, x, use_reentrant=True))
        if self.way == "function":
            return self.head(CheckpointFunction.apply(self.net, True, x))
        return self.head(checkpoint(self.net, x, use_reentrant=self.way == "reentrant"))


WAYS = ("plain", "reentrant", "not reentrant", "sequential", "function")


@pytest.mark.parametrize("way", WAYS)
def test_checkpointed_modules_are_measured(way):
    model, x = Checkpointed(way), torch.rand(2, 1, 6, 6)
    v, oracle = torch.rand_like(x), trace_in_float64(Checkpointed("plain").double(), x)
    for kind in (LocalDataMatrix, MatrixFreeDataMatrix):
        with quiet(model):  # products are computed when they are asked for
            matrix = kind.at(model, x)
            assert torch.allclose(matrix.trace(), oracle, rtol=1e-5)
            product = (matrix @ v).flatten()
        expected = LocalDataMatrix.at(Checkpointed("plain"), x) @ v
        assert torch.allclose(product, expected.flatten(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("way", "message"),
    [("reentrant", "use_reentrant=True"), ("not reentrant", "different metadata|different number")],
)
def test_checkpointed_modules_need_the_precaution(way, message, monkeypatch):
    """Negative control."""
    monkeypatch.setattr(quiet_module, "no_checkpointing", nullcontext)
    x = torch.rand(2, 1, 6, 6)
    with pytest.raises((LeafError, RuntimeError), match=message):
        MatrixFreeDataMatrix.at(Checkpointed(way), x).trace()


def test_checkpointing_and_hooks_work_again_afterwards():
    apply, register = vars(CheckpointFunction).get("apply"), torch.Tensor.register_hook
    passes = []
    model = Checkpointed("reentrant")
    model.net[0].register_forward_hook(lambda *_: passes.append(1))
    with quiet(model), quiet(model):
        pass
    assert vars(CheckpointFunction).get("apply") is apply
    assert torch.Tensor.register_hook is register
    model(torch.rand(2, 1, 6, 6, requires_grad=True)).sum().backward()
    assert len(passes) == 2  # the activations were recomputed


class Adapting(nn.Linear):
    """A module whose forward pass computes and clears gradients of its own."""

    def forward(self, x):
        self.bias.requires_grad_(False)
        super().forward(x).square().sum().backward()
        self.zero_grad()
        super().forward(x.detach()).sum().backward()
        return super().forward(x)


@pytest.mark.parametrize("guarded", [True, False])
def test_gradients_of_the_training_are_kept(guarded, monkeypatch):
    if not guarded:  # negative control
        monkeypatch.setattr(quiet_module, "gradients_set_aside", lambda _: nullcontext())
    model = Adapting(3, 3)
    nn.functional.linear(torch.ones(1, 3), model.weight).sum().backward()
    gradient, values = model.weight.grad, model.weight.grad.clone()
    with quiet(model):
        model(torch.rand(2, 3))
    kept = model.weight.grad is gradient and torch.equal(gradient, values)
    assert (kept and model.bias.grad is None) == guarded
    assert model.bias.requires_grad == guarded


class Features(nn.Module):
    """A module with functional dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 40), nn.Linear(40, 3)

    def forward(self, x):
        hidden = self.first(x).tanh()
        return self.head(nn.functional.dropout(hidden, 0.5, self.training))


def test_feature_extractors_are_measured_without_dropout():
    """torchvision traces one graph for each mode; the training graph contains the dropout."""
    from torchvision.models.feature_extraction import create_feature_extractor

    plain = Features().eval()
    extractor = create_feature_extractor(Features(), ["head"]).train()
    extractor.load_state_dict(plain.state_dict())
    graph, x = extractor.graph, torch.rand(2, 5)
    with quiet(extractor):
        assert torch.equal(extractor(x)["head"], plain(x))
    assert extractor.training
    assert extractor.graph is graph
    assert not torch.equal(extractor(x)["head"], extractor(x)["head"])  # negative control
