"""Modules after public repositories and reports, whose forward pass leaves something behind."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.support.undisturbed.modules import Plain


class Meter:
    """A helper object, such as a running mean, that a module updates in its forward pass."""

    def __init__(self) -> None:
        self.calls, self.history = 0, {"sizes": [0]}

    def update(self, x: Tensor) -> float:
        self.calls += 1
        self.history["sizes"].append(len(x))
        return 1e-4 * self.calls + 1e-6 * sum(self.history["sizes"])


class Holding(Plain):
    """State of many kinds that scales the scores.

    Sources: meta-pytorch/opacus #176 (hooks collect activations), facebookresearch/moco (a queue
    and a momentum encoder updated in the forward pass), Lightning-AI/pytorch-lightning #10914 (a
    teacher that is kept out of the state), BoChenUIUC/CS547-DL (hidden states kept between
    batches), pytorch/pytorch #7068 (settings changed while a program runs).
    """

    shared: dict[str, int] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.shared.clear()
        self.meter = Meter()
        self.generator = torch.Generator().manual_seed(0)
        self.center = torch.zeros(10)  # not a buffer
        self.hidden = (torch.zeros(10), [torch.zeros(10)])
        self.teacher = [copy.deepcopy(self.net)]  # not a sub-module
        self.register_buffer("queue", torch.zeros(4, 10))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))
        collected: list[Tensor] = []
        self.net[0].register_forward_hook(lambda _, __, output: collected.append(output))
        self.collected = lambda: collected

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        with torch.no_grad():
            row = scores.detach().mean(0)
            self.queue[self.pointer] = row
            self.pointer[0] = (self.pointer[0] + 1) % len(self.queue)
            self.center.mul_(0.9).add_(row, alpha=0.1)
            self.hidden[1][0] = 0.5 * self.hidden[1][0] + row
            for mine, followed in zip(
                self.teacher[0].parameters(), self.net.parameters(), strict=True
            ):
                mine.mul_(0.99).add_(followed, alpha=0.01)
            taught = self.teacher[0](x)
        self.shared["calls"] = self.shared.get("calls", 0) + 1
        noise = torch.rand((), generator=self.generator) + self.shared["calls"]
        kept = self.queue.mean() + self.center.mean() + self.hidden[1][0].mean()
        kept = kept + sum(each.detach().mean() for each in self.collected())
        torch.use_deterministic_algorithms(mode=self.training)
        return scores * (1 + self.meter.update(x) + 1e-4 * (noise + kept)) + 1e-3 * taught

    def on_fit_end(self) -> None:
        torch.use_deterministic_algorithms(mode=False)


class Hooked(Plain):
    """A module with backward hooks that works in place, and recomputes its activations.

    Its hooks record gradients, by which the next loss is scaled. Sources: wandb/wandb #2157,
    pytorch/vision #4164, pytorch/xla #8729.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norms: list[float] = [0.0]
        self.net[-1].register_full_backward_hook(self.record)
        self.register_full_backward_hook(lambda *_: None)
        self.ends = nn.Sequential(nn.Tanh(), nn.Linear(10, 10))

    def record(self, module: nn.Module, inputs: Any, outputs: tuple[Tensor]) -> None:
        self.norms.append(float(outputs[0].norm()))

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        hidden = self.net(x)
        if not hidden.requires_grad:
            return self.ends(hidden)
        hidden.register_hook(lambda gradient: self.norms.append(float(gradient.norm())))
        scores = checkpoint(self.ends, hidden, use_reentrant=True)
        return scores * (1 + 1e-3 * self.norms[-1] + 1e-6 * len(self.norms))


class Late(Plain):
    """A module that its first forward pass finishes.

    Sources: Lightning-AI/pytorch-lightning #13764 (lazy modules), karpathy/deep-vector-quantization
    #5 and mint-vu/s3wd (first values computed from the first batch, with a flag).
    """

    def __init__(self) -> None:
        super().__init__()
        self.net[-1] = nn.LazyLinear(10)
        self.register_parameter("drawn", None)
        self.shift = nn.Parameter(torch.zeros(10))
        self.data_dep_init_done = False

    def configure_optimizers(self) -> Any:
        late = [parameter for parameter in self.parameters() if parameter is not None]
        return torch.optim.SGD(late, lr=0.05)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        if self.drawn is None:
            self.drawn = nn.Parameter(torch.randn(10), requires_grad=False)
        if not self.data_dep_init_done:
            self.shift.data = -scores.detach().mean(0)
            self.data_dep_init_done = True
        return scores + self.shift + 1e-2 * self.drawn


class Scripted(Plain):
    """A module with a scripted part (torch.jit) and a part that is traced for its features.

    Sources: pytorch/vision #8634 (feature extractors have one graph for each mode).
    """

    def __init__(self) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        extractor = create_feature_extractor(FunctionalDropout(), ["last"])
        self.net = nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(64, 32)), extractor)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)["last"]


class FunctionalDropout(nn.Module):
    """A module whose dropout is a function of its mode, which tracing makes a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x).tanh(), 0.3, self.training))


class Observed(Plain):
    """A module prepared for quantization: its observers follow the values in each mode.

    Source: Lightning-AI/pytorch-lightning #8507.
    """

    def __init__(self) -> None:
        from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

        super().__init__()
        observer = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255)
        self.net.insert(1, observer)
