"""Weights are restored after errors, without new memory of an accelerator."""

import pytest
import torch
from torch import nn

from lightning_leaf.model import block_copies, dense_copies, undo
from lightning_leaf.model.dense_copies import cheapest_place
from lightning_leaf.model.quiet import quiet
from tests.gpu.simulated_device import DEVICE, DeviceTensor, Simulation

PIECE = 64
HOST = torch.device("cpu")


class Full(Simulation):
    """A device whose memory ends: from then on it makes no tensors, only views of those it has."""

    is_full = False

    def __init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()

    def _on_device(self, value):
        made = super()._on_device(value)
        if isinstance(made, DeviceTensor):
            memory = made.values.untyped_storage().data_ptr()
            if self.is_full and memory not in self._known:
                raise torch.OutOfMemoryError("out of memory")
            self._known.add(memory)
        return made


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(9, 9), nn.Linear(4, 4).double())
    model[0].to(memory_format=torch.channels_last)
    model.register_buffer("queue", torch.rand(100))
    return model


def values(model):
    return {name: each.detach().cpu().clone() for name, each in model.state_dict().items()}


def overwrite(model) -> None:
    with torch.no_grad():
        for each in (*model.parameters(), model.queue):
            each.mul_(-2.0)


@pytest.mark.parametrize("kept_on", [HOST, None], ids=["copies on the host", "on the device"])
def test_weights_are_restored_when_the_device_is_full(kept_on, monkeypatch):
    monkeypatch.setattr(dense_copies, "PIECE", PIECE)
    monkeypatch.setattr("lightning_leaf.model.quiet.cheapest_place", lambda _: kept_on)
    model = network()
    before = values(model)
    with Full() as device:
        model.to(DEVICE)
        with pytest.raises(torch.OutOfMemoryError), quiet(model):  # noqa: PT012
            overwrite(model)
            changed = values(model)
            device.is_full = True
            torch.zeros(1000, device=DEVICE)
        after = values(model)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(torch.equal(changed[name], before[name]) for name in before)


def test_without_the_host_they_would_not_be_restored(monkeypatch):
    """Negative control."""
    monkeypatch.setattr(dense_copies, "_pieces", lambda copy: [])
    monkeypatch.setattr("lightning_leaf.model.quiet.cheapest_place", lambda _: HOST)
    model = network()
    before = values(model)
    with Full() as device:
        model.to(DEVICE)
        with pytest.raises(torch.OutOfMemoryError), quiet(model):  # noqa: PT012
            overwrite(model)
            device.is_full = True
            torch.zeros(1000, device=DEVICE)
        after = values(model)
    names = [name for name, _ in model.named_parameters()]
    assert not any(torch.equal(after[name], before[name]) for name in names)


def test_weights_on_a_device_are_compared_with_one_wait(monkeypatch):
    monkeypatch.setattr("lightning_leaf.model.quiet.cheapest_place", lambda _: None)
    model = network()
    before = values(model)
    with Simulation() as device:
        model.to(DEVICE)
        versions = [each._version for each in model.parameters()]
        with device.counting() as counts, quiet(model):
            pass
        assert sum(counts.waits.values()) == 3  # float32 and float64 parameters, and buffers
        kernels = sum(counts.kernels.values())
        with device.counting() as counts, quiet(nn.Sequential(model, network().to(DEVICE))):
            pass
        assert sum(counts.kernels.values()) == kernels  # however many tensors there are
        assert [each._version for each in model.parameters()] == versions
        with quiet(model):
            overwrite(model)
        after = values(model)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_every_kind_of_write_to_a_block_is_undone(monkeypatch):
    monkeypatch.setattr("lightning_leaf.model.quiet.cheapest_place", lambda _: None)
    monkeypatch.setattr(block_copies, "LARGEST_BLOCK", 500)
    model = network()
    before = values(model)
    with Simulation() as device:
        model.to(DEVICE)
        memories = [each.data_ptr() for each in model.parameters()]
        with quiet(model), torch.no_grad():
            model[0].weight.data.clamp_(0, 0)
            model[0].bias.data = torch.zeros(8).to(DEVICE)
            model[1].weight.data = model[1].weight.data.bfloat16()
            model[2].weight[1, 1] = torch.nan
        after = values(model)
        assert [each.data_ptr() for each in model.parameters()] == memories
        assert not device.counts.mixes
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), KeyboardInterrupt(), MemoryError()])
def test_a_step_with_an_error_is_repeated(error):
    errors, done = [error], []

    def step():
        if errors:
            raise errors.pop()
        done.append(1)

    def run():
        undo.run_all([step, lambda: done.append(2)])

    if isinstance(error, Exception):
        run()
    else:
        with pytest.raises(KeyboardInterrupt):
            run()
    assert done == [2, 1]


@pytest.mark.parametrize(
    ("available", "place"), [(None, HOST), (4 * 400 - 1, HOST), (4 * 400, None)]
)
def test_copies_stay_on_a_device_that_has_much_memory(available, place, monkeypatch):
    monkeypatch.setattr(dense_copies, "available_bytes", lambda device: available)
    monkeypatch.setattr(dense_copies, "SMALL", 399)
    with Simulation():
        tensors = [torch.rand(90).to(DEVICE), torch.rand(10).to(DEVICE), torch.rand(10**4)]
        assert cheapest_place(tensors) == place
        assert cheapest_place(tensors[1:]) is None  # too small to ask
        assert cheapest_place(tensors[2:]) is None


def test_a_copy_for_which_a_device_has_no_memory_is_on_the_host():
    with Full() as device:
        tensor = torch.rand(10).to(DEVICE)
        device.is_full = True
        assert dense_copies.dense_copy(tensor, None).value.device == HOST


@pytest.mark.parametrize("layout", ["rows", "columns", "gaps", "expanded", "offset"])
def test_tensors_of_every_layout_are_written_in_pieces(layout, monkeypatch):
    monkeypatch.setattr(dense_copies, "PIECE", PIECE)
    whole = torch.rand(20, 20)
    tensor = {
        "rows": whole,
        "columns": whole.t(),
        "gaps": whole[:, ::2],
        "expanded": torch.rand(20, 1).expand(20, 20),
        "offset": whole[3:],
    }[layout]
    before = tensor.clone()
    copy = dense_copies.dense_copy(tensor, HOST)
    if layout != "expanded":
        tensor.neg_()
    pieces = dense_copies._pieces(copy)
    assert (len(pieces) > 1) == (layout in {"rows", "columns", "offset"})
    for piece in pieces:
        dense_copies._restore_piece(*piece)
    assert torch.equal(tensor, before)
