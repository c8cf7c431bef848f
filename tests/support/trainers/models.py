"""Kinds of models: how their modules are built and what their operations are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from tests.support.trainers.kinds import (
    Lit,
    Report,
    Training,
    images,
    kind,
    labels,
    pairs,
    rows,
)


@kind("Models", "a `LightningModule` whose `forward` maps a batch of inputs to logits")
def plain(root: Path) -> Training:
    return Training(Lit(), pairs())


@kind(
    "Models",
    "batch-norm and dropout, which behave differently in training mode",
    Report(
        "bethgelab/foolbox #74",
        "an image classifier that was attacked while in training mode",
        "right value",
    ),
    Report(
        "pytorch/functorch #986",
        "ResNet-18, whose batch-norm updates its statistics in place in each forward pass",
        "right value",
    ),
    note="Everything is measured in evaluation mode; modes and statistics are restored.",
)
def training_mode(root: Path) -> Training:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(144, 3),
    )  # fmt: skip
    return Training(Lit(net), pairs(images()))


@kind(
    "Models",
    "batch-norm without running statistics",
    Report(
        "pytorch/functorch #867",
        "per-sample Jacobians of a network with `track_running_stats=False`",
        "error with the right advice",
    ),
    write="chunk_size=1",
    refused="mixes the inputs of a batch.*chunk_size=1",
)
def batch_statistics(root: Path) -> Training:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))
    return Training(Lit(net), pairs(images()))


class LateParameter(Lit):
    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("scale", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = nn.Parameter(torch.linspace(0.5, 2, x.shape[1]), requires_grad=False)
        return self.net(x * self.scale)  # type: ignore[no-any-return]


@kind(
    "Models",
    "modules that are completed by their first forward pass, such as `nn.LazyLinear`",
    note="The first measurement waits until the training has completed them.",
)
def lazy_modules(root: Path) -> Training:
    net = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3))
    return Training(Lit(net), pairs(), options={"max_steps": 2})


@kind("Models", "parameters that `forward` creates at its first call")
def late_parameter(root: Path) -> Training:
    return Training(LateParameter(), pairs(), options={"max_steps": 2})


@kind(
    "Models",
    "`weight_norm`, `spectral_norm` and other parametrizations",
    Report(
        "pytorch/pytorch #102981",
        "wav2vec 2.0, whose weight-normalised layers cannot be deep-copied",
        "right value",
    ),
    Report(
        "Lightning-AI/pytorch-lightning #8106",
        "a module that a callback could not deep-copy",
        "right value",
    ),
)
def parametrizations(root: Path) -> Training:
    hidden = nn.utils.parametrizations.weight_norm(nn.Linear(12, 8))
    head = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3))
    return Training(Lit(nn.Sequential(hidden, nn.Tanh(), head)), pairs())


class Traced(Lit):
    """A module with a traced and a frozen scripted part."""

    def __init__(self) -> None:
        super().__init__()
        body = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.body = torch.jit.trace(body, rows(2), check_trace=False)
        self.net = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.body(x))  # type: ignore[no-any-return]


class Plain(Lit):
    """The function of :class:`Traced`, from its weights."""

    def __init__(self, traced: Any) -> None:
        super().__init__(nn.Linear(8, 3))
        self.first = nn.Linear(12, 8)
        found = dict(traced.named_parameters())
        self.first.weight.data, self.first.bias.data = found["body.0.weight"], found["body.0.bias"]
        self.net.weight.data, self.net.bias.data = found["net.weight"], found["net.bias"]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.first(x).tanh())  # type: ignore[no-any-return]


@kind(
    "Models",
    "sub-modules that were traced or scripted by TorchScript",
    Report(
        "wandb/wandb #580",
        "a BART model, on whose script modules `wandb.watch` ended the training",
        "switched off: KeyError",
    ),
    Report("wandb/wandb #3148", "an agent with scripted layers", "switched off: KeyError"),
)
def torchscript(root: Path) -> Training:
    return Training(Traced(), pairs(), copied=lambda module: Plain(module).double())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.activation = nn.Linear(12, 12), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.activation(self.layer(x))
        x = x + self.activation(self.layer(x))  # the same modules again
        return x


@kind(
    "Models",
    "residual networks, modules that are called several times, in-place activations",
    Report("f-dangel/backpack #14", "a residual network", "right value"),
)
def reused_modules(root: Path) -> Training:
    return Training(Lit(nn.Sequential(Residual(), nn.Linear(12, 3))), pairs())


class StraightThrough(torch.autograd.Function):
    """tanh with a backward pass that can be differentiated only once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y * y)


class Custom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return StraightThrough.apply(x)  # type: ignore[no-any-return, no-untyped-call]


@kind(
    "Models",
    "a `torch.autograd.Function` with first derivatives only, also with more than 160 classes",
    Report(
        "pytorch/functorch #207",
        "a ReLU with its own derivative at zero",
        "right value up to 160 classes, else switched off",
    ),
    note="Without second derivatives all classes are computed, as with `exact=True`.",
)
def first_derivatives_only(root: Path) -> Training:
    net = nn.Sequential(nn.Linear(12, 8), Custom(), nn.Linear(8, 161))
    return Training(Lit(net), pairs(targets=labels(161)), positions=(0, 1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 24)

    def forward(self, x: Tensor) -> Tensor:  # (B, 12) -> (B, 24)
        parts = self.qkv(x.unflatten(1, (3, 4))).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return scaled_dot_product_attention(*parts).flatten(1)


@kind(
    "Models",
    "fused attention, which has no second derivative, with more than 160 classes",
    Report(
        "pytorch/pytorch #116350",
        "a transformer, differentiated twice",
        "right value up to 160 classes, else switched off",
    ),
    Report(
        "pytorch/pytorch #128971",
        "a transformer, differentiated in forward mode",
        "right value up to 160 classes, else switched off",
    ),
    Report("huggingface/diffusers #5678", "a U-Net with attention blocks", "as above"),
)
def fused_attention(root: Path) -> Training:
    net = nn.Sequential(Attention(), nn.Linear(24, 161))
    return Training(
        Lit(net), pairs(targets=labels(161)), positions=(0, 1), tolerance=0.1
    )  # an estimate


@kind(
    "Models",
    "more than 160 classes, and `exact=True`",
    write="exact=True",
    happens="works with estimates",
    note="`exact=True` computes all classes; the monitor then logs the tangent dimension too.",
)
def all_classes(root: Path) -> Training:
    net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 161))
    return Training(Lit(net), pairs(targets=labels(161)), positions=(0, 1))


class InPlace(Lit):
    def __init__(self) -> None:
        super().__init__()
        self.register_full_backward_hook(lambda *_: None)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return self.net(x)  # type: ignore[no-any-return]


def without_hooks(module: Any) -> Any:
    plain = Lit(module.net).double()
    plain.forward = lambda x: plain.net(x - 0.5)  # type: ignore[method-assign]
    return plain


@kind("Models", "full backward hooks on a module that works in place on its input")
def backward_hooks(root: Path) -> Training:
    data = pairs(rows().clone())
    return Training(InPlace(), data, inputs=rows(), copied=without_hooks)


class Reentrant(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 8), nn.Tanh()))
        self.first, self.head = nn.Linear(12, 12), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.net, self.first(x), use_reentrant=True))  # type: ignore


@kind("Models", "activation checkpointing, `use_reentrant=True` included")
def reentrant_checkpoint(root: Path) -> Training:
    return Training(
        Reentrant(), pairs(), lambda module, x: module.head(module.net(module.first(x)))
    )


class Recurrent(Lit):
    def __init__(self) -> None:
        super().__init__(nn.LSTM(4, 6, batch_first=True))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x)[0][:, -1])  # type: ignore[no-any-return]


@kind(
    "Models",
    "recurrent networks (also with cuDNN, which has no backward pass in evaluation mode)",
    Report(
        "Kaminyou/deepspeech2-pytorch-adversarial-attack #1",
        "DeepSpeech 2, attacked in evaluation mode",
        "right value on CPUs; switched off with cuDNN",
    ),
)
def recurrent(root: Path) -> Training:
    return Training(Recurrent(), pairs(rows().unflatten(1, (3, 4))))


class Sparse(Lit):
    """A graph network on one graph, whose adjacency matrix is a sparse buffer."""

    adjacency: Tensor

    def __init__(self) -> None:
        super().__init__(nn.Linear(20, 3))
        edges = torch.tensor([[0, 1, 2, 3, 4, 1], [1, 2, 3, 4, 0, 3]])
        adjacency = torch.sparse_coo_tensor(edges, torch.ones(6), (5, 5)).coalesce()
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, 5, 4)
        moved = x.transpose(0, 1).flatten(1)
        mixed = torch.sparse.mm(self.adjacency.to(x.dtype), moved)
        return self.net(mixed.unflatten(1, (-1, 4)).transpose(0, 1).flatten(1).tanh())  # type: ignore


@kind(
    "Models",
    "sparse tensors among the buffers, such as the adjacency matrix of a graph network",
    Report("meta-pytorch/captum #246", "a network on a graph", "switched off: NotImplementedError"),
)
def sparse_buffer(root: Path) -> Training:
    x = torch.rand(24, 5, 4, generator=torch.Generator().manual_seed(0))
    return Training(Sparse(), pairs(x))


@kind(
    "Models",
    "parameters or buffers on the meta device that `forward` does not use",
    note="Lightning's trainer cannot move them, so this concerns the functions.",
)
def meta_tensors(root: Path) -> None:
    from lightning_leaf import LocalDataMatrix

    module = Lit()
    module.unused = nn.Parameter(torch.empty(3, device="meta"), requires_grad=False)
    trace = LocalDataMatrix.at(module, rows(4)).trace()
    assert torch.equal(trace, LocalDataMatrix.at(module.net, rows(4)).trace())
    assert not torch.equal(trace, LocalDataMatrix.at(Lit(), rows(4)).trace())


class Quantised(Lit):
    """A frozen quantised backbone before a trainable head."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 3))
        layers = nn.Sequential(nn.Linear(12, 8), nn.Tanh())
        self.backbone = torch.ao.quantization.quantize_dynamic(layers, {nn.Linear})

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.backbone(x.detach()))  # type: ignore[no-any-return]


@kind(
    "Models",
    "quantised layers, which have no derivative",
    Report(
        "Harry24k/adversarial-attacks-pytorch #150",
        "a quantised image classifier",
        "trace 0 without a word",
    ),
    Report("huggingface/optimum-quanto #212", "quantised layers in a training", "as above"),
    refused="input",
    note="Measure the model before it is quantised.",
)
def quantised(root: Path) -> Training:
    torch.backends.quantized.engine = torch.backends.quantized.supported_engines[-1]
    return Training(Quantised(), pairs())


class Inference(Lit):
    """A frozen backbone that was loaded in inference mode."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 3))
        with torch.inference_mode():
            self.backbone = nn.Linear(12, 8).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.backbone(x).clone()
        return self.net(features)  # type: ignore[no-any-return]


@kind(
    "Models",
    "a frozen backbone that was created in inference mode",
    Report(
        "facebookresearch/dinov2 #472",
        "DINOv2 loaded in inference mode, with a head on top",
        "trace 0 without a word",
    ),
)
def inference_tensors(root: Path) -> Training:
    def oracle(module: Any, x: Tensor) -> Tensor:
        weight, bias = (part.clone() for part in module.backbone.parameters())
        return module.net(nn.functional.linear(x, weight, bias))  # type: ignore[no-any-return]

    return Training(Inference(), pairs(), oracle)
