"""Steps of paths that were captured as a CUDA graph compute what eager steps do, to the digit."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_leaf import LeafPath, horizontal_path, orthogonal_walk
from lightning_leaf.model.memory import available_bytes
from lightning_leaf.paths import captured_step, path_step
from tests.gpu.conftest import NEEDS_CUDA
from tests.support.cases import image_cnn

pytestmark = NEEDS_CUDA

STEPS = 100
WALKS: dict[str, tuple[Callable[..., LeafPath], dict[str, Any]]] = {
    "horizontal": (horizontal_path, {"step_size": 0.01, "threshold": 1e-3}),
    "horizontal, until they stall": (horizontal_path, {"step_size": 0.05, "max_steps": 300}),
    "horizontal, one after another": (horizontal_path, {"chunk_size": 2}),
    "orthogonal": (orthogonal_walk, {}),
    "orthogonal, in a domain": (orthogonal_walk, {"domain": (-6.0, 6.0)}),
}


class Reading(nn.Module):
    """A model whose forward pass reads a value, so that it cannot be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.net = image_cnn()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores if float(x.detach().sum()) < 1e9 else 2 * scores


def walked(
    build: Callable[[], nn.Module], walk: Callable[..., LeafPath], options: dict[str, Any]
) -> LeafPath:
    torch.manual_seed(0)
    model, x = build().cuda(), torch.randn(6, 1, 10, 10)
    ends = (x.flip(0),) if walk is horizontal_path else ()
    return walk(model, x, *ends, **{"max_steps": STEPS, "progress": False, **options})


@pytest.fixture(autouse=True)
def same_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cuDNN choose algorithms that give the same digits at every call."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each step that was to be captured was."""
    found: list[bool] = []
    real = captured_step.captured

    def spied(*arguments: Any) -> Any:
        step = real(*arguments)
        found.append(step is not None)
        return step

    monkeypatch.setattr(path_step, "captured", spied)
    return found


@pytest.mark.parametrize(("walk", "options"), WALKS.values(), ids=WALKS.keys())
def test_captured_steps_equal_eager_ones(
    captures: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    walk: Callable[..., LeafPath],
    options: dict[str, Any],
) -> None:
    captured = walked(image_cnn, walk, options)
    assert captures
    assert all(captures)
    monkeypatch.setattr(path_step, "captured", lambda *_: None)
    require_equal(captured, walked(image_cnn, walk, options))


def test_models_that_read_values_are_walked_without_a_graph(captures: list[bool]) -> None:
    walk, options = WALKS["horizontal"]
    eager = walked(Reading, walk, options)
    assert captures
    assert not any(captures)
    require_equal(eager, walked(image_cnn, walk, options))
    require_reusable_memory()


def test_captures_leave_no_memory_behind(captures: list[bool]) -> None:
    """Every new stream would have a workspace of cuBLAS, which is never released."""
    walk, options = WALKS["horizontal"]
    reserved = []
    for _ in range(8):
        walked(image_cnn, walk, options)
        gc.collect()
        torch.cuda.empty_cache()
        reserved.append(torch.cuda.memory_reserved())
    assert all(captures)
    assert reserved[-1] - reserved[1] < 2**26
    require_reusable_memory()


def require_reusable_memory() -> None:
    """Require that the allocator still releases what it keeps if memory runs out.

    It does not while it believes that a graph is being captured, as after a capture that failed.
    """
    free = available_bytes(torch.device("cuda", 0))
    assert free is not None
    for share in (0.6, 0.7):  # the second needs the memory that is kept of the first
        torch.empty(int(share * free), dtype=torch.uint8, device="cuda")
    torch.cuda.empty_cache()


def require_equal(one: LeafPath, other: LeafPath) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert (mine.status, mine.steps) == (theirs.status, theirs.steps)
        for name in ("points", "log_probs", "distance", "fisher_rao_length"):
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
        # NaN where a path did not move.
        both = torch.stack([mine.horizontality, theirs.horizontality]).nan_to_num(-1)
        assert torch.equal(both[0], both[1])
