"""Snapshots are taken at the right steps, of the current weights, and reach all loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from lightning_leaf import (
    HorizontalPathSnapshot,
    LeafError,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    Trigger,
    horizontal_path,
    orthogonal_walk,
)
from lightning_leaf.model import quiet
from tests.support.callbacks.training import (
    SmallCNN,
    digits,
    fit,
    ignore_lightning,
    scalars,
    snapshots,
)

pytestmark = ignore_lightning

QUICK: dict[str, Any] = {"max_steps": 6, "on_error": "raise"}


class EveryThird(Trigger):
    """A trigger that fires at each third step."""

    reason = "every third"

    def fires(self, moment: Any) -> bool:
        return moment.step % 3 == 0


class Diverging(SmallCNN):
    """A module whose weights become NaN at step 3."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 3:
            self.net[-1].weight.data.fill_(torch.nan)


def taken(root: Path, name: str | None = None) -> list[tuple[int, str]]:
    return [(snapshot.step, snapshot.reason) for snapshot in snapshots(root, name)]


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    images, _ = digits()
    return images[100:103], images[200:203]


STEPS: dict[str, tuple[Any, list[tuple[int, str]]]] = {
    "step": (3, [(3, "step")]),
    "steps": ([0, 5], [(0, "step"), (5, "step")]),
    "last_step": (16, [(16, "step")]),
    "epochs": ("epoch", [(8, "epoch"), (16, "epoch")]),
    "fit_end": ("fit_end", [(16, "fit_end")]),
    "trigger": (EveryThird(), [(step, "every third") for step in (0, 3, 6, 9, 12, 15)]),
    "several": (["fit_end", "epoch", 16], [(8, "epoch"), (16, "fit_end")]),
    "never": (17, []),
}


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of 16 steps in two epochs, with a callback for each `when`."""
    root = tmp_path_factory.mktemp("two_epochs")
    callbacks = [
        HorizontalPathSnapshot(when, pairs=1, name=name, **QUICK)
        for name, (when, _) in STEPS.items()
    ]
    fit(root, *callbacks, max_steps=-1, max_epochs=2)
    return root


@pytest.mark.parametrize("name", STEPS)
def test_snapshots_are_taken_when_a_trigger_fires(two_epochs: Path, name: str) -> None:
    _, expected = STEPS[name]
    assert taken(two_epochs, name) == expected


CHECKPOINTS: dict[str, dict[str, Any]] = {
    "every three steps": {"every_n_train_steps": 3, "save_top_k": -1},
    "weights only": {"every_n_train_steps": 3, "save_top_k": -1, "save_weights_only": True},
    "last": {"every_n_train_steps": 4, "save_last": True},
    "epochs": {"every_n_epochs": 1, "save_top_k": -1},
    "best": {"monitor": "val_loss", "save_top_k": 1},
}


@pytest.mark.parametrize("options", CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
def test_every_checkpoint_has_a_snapshot_of_its_weights(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    saver = ModelCheckpoint(tmp_path / "saved", **options)
    snapshot = HorizontalPathSnapshot("checkpoint", pairs(), **QUICK)
    fit(tmp_path, snapshot, saver, max_steps=-1, max_epochs=2, enable_checkpointing=True)
    found = {item.step: item for item in snapshots(tmp_path)}
    files = {
        torch.load(f, weights_only=False)["global_step"]: f
        for f in (tmp_path / "saved").glob("*.ckpt")
    }
    assert files
    assert files.keys() <= found.keys()
    for step, file in files.items():
        module = SmallCNN()
        module.load_state_dict(torch.load(file, weights_only=False)["state_dict"])
        path = horizontal_path(module, *pairs(), max_steps=6, domain=None, progress=False)
        shown = [record.frame_probabilities[0] for record in found[step].paths]
        assert shown == pytest.approx(path.log_probs[:, 0].exp().amax(1).tolist(), abs=1e-5)


def test_snapshots_contain_the_results_of_the_functions(tmp_path: Path) -> None:
    common: dict[str, Any] = {"domain": (0, 1), "step_size": 0.05}
    horizontal = HorizontalPathSnapshot(pairs=pairs(), max_steps=200, **common)
    walks = OrthogonalWalkSnapshot(starts=pairs()[0], max_steps=30, seed=5, **common)
    trainer = fit(tmp_path, horizontal, walks, max_steps=24)
    module = trainer.lightning_module
    path = horizontal_path(module, *pairs(), max_steps=200, progress=False, **common)
    walk = orthogonal_walk(module, pairs()[0], max_steps=30, seed=5, progress=False, **common)
    for kind, whole in (("horizontal_path", path), ("orthogonal_walk", walk)):
        (snapshot,) = snapshots(tmp_path, kind)
        for record, single in zip(snapshot.paths, whole, strict=True):
            assert record.status == single.status.value
            assert record.steps == single.steps
            assert record.final_distance == pytest.approx(float(single.distance[-1]), rel=1e-4)
            end = single.log_probs[-1].exp().numpy()
            assert record.probabilities[-1] == pytest.approx(end, abs=1e-4)
            pixels = (single.points[-1, 0].clamp(0, 1) * 255).round().byte().numpy()
            assert np.abs(record.frames[-1].astype(int) - pixels.astype(int)).max() <= 1


def test_snapshots_of_a_resumed_run_belong_to_a_newer_session(tmp_path: Path) -> None:
    def callbacks() -> list[Any]:
        saver = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=3, save_top_k=-1)
        return [HorizontalPathSnapshot([2, 5, "checkpoint"], pairs=1, **QUICK), saver]

    fit(tmp_path / "first", *callbacks(), enable_checkpointing=True)
    assert [step for step, _ in taken(tmp_path / "first")] == [2, 3, 5, 6]
    saved = next((tmp_path / "saved").glob("*step=3.ckpt"))
    fit(tmp_path / "second", *callbacks(), enable_checkpointing=True, ckpt_path=saved)
    again = snapshots(tmp_path / "second")
    # The new log contains a snapshot of the weights of the checkpoint too.
    assert [snapshot.step for snapshot in again] == [3, 5, 6]
    assert {snapshot.session_start_step for snapshot in again} == {3}
    first = snapshots(tmp_path / "first")
    assert min(s.session for s in again) > max(s.session for s in first)
    shown = [first[1].paths[0].frame_probabilities, again[0].paths[0].frame_probabilities]
    assert np.array_equal(*shown)


@pytest.mark.parametrize("monitor_first", [True, False])
def test_triggers_read_the_current_measurement_in_any_order_of_callbacks(
    tmp_path: Path, monitor_first: bool
) -> None:
    class AtMeasurement(Trigger):
        """A trigger that fires at step 6 if the history contains the measurement of step 6."""

        reason = "measured"
        needs_history = True

        def fires(self, moment: Any) -> bool:
            return moment.step == 6 == moment.history["step"][-1]

    callbacks = [
        LocalDataMatrixMonitor(every_n_steps=2),
        HorizontalPathSnapshot(AtMeasurement(), pairs=1, **QUICK),
    ]
    fit(tmp_path, *(callbacks if monitor_first else callbacks[::-1]))
    assert taken(tmp_path) == [(6, "measured")]
    assert list(scalars(tmp_path)["leaf/trace_mean"]) == [0, 2, 4, 6, 8]


def test_each_measurement_opens_the_module_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    evaluation_mode = quiet.evaluation_mode

    def counted(module: Any) -> Any:
        opened.append(module)
        return evaluation_mode(module)

    monkeypatch.setattr(quiet, "evaluation_mode", counted)
    monitor = LocalDataMatrixMonitor(every_n_steps=4, chunk_size=2, on_error="raise")
    snapshot = HorizontalPathSnapshot(2, pairs=2, noise_steps=2, chunk_size=1, **QUICK)
    fit(tmp_path, monitor, snapshot)
    # Both choose their examples. The snapshot then computes paths of no steps, to detect errors.
    # Labels are read and scores are judged once for both.
    once = ["labels", "scores"]
    assert len(opened) == len(["probe", *once, 0, 4, 8]) + len(["pairs", "no steps", 2])


def test_trace_return_needs_a_monitor(tmp_path: Path) -> None:
    with pytest.raises(
        LeafError,
        match=r"'trace_return' reads the measurements of a LocalDataMatrixMonitor.*"
        r"Add LocalDataMatrixMonitor\(\)",
    ):
        fit(tmp_path, HorizontalPathSnapshot("trace_return"))


def test_paths_can_start_at_noisy_points(tmp_path: Path) -> None:
    clean = HorizontalPathSnapshot(pairs=pairs(), domain=(-1, 2), **QUICK)
    noisy = HorizontalPathSnapshot(pairs=pairs(), domain=(-1, 2), noise_steps=40, **QUICK)
    fit(tmp_path, clean, noisy)
    (from_noise,) = snapshots(tmp_path, "noisy_start")
    (from_clean,) = snapshots(tmp_path, "horizontal_path")
    for a, b in zip(from_noise.paths, from_clean.paths, strict=True):
        assert not np.array_equal(a.frames[0], b.frames[0])
        assert np.array_equal(a.destination_frame, b.destination_frame)
        # The prediction is insensitive to the noise.
        assert a.frame_probabilities[0] == pytest.approx(b.frame_probabilities[0], abs=0.1)


def test_the_normalization_of_the_data_set_limits_paths_to_valid_pixels(tmp_path: Path) -> None:
    class Normalized(TensorDataset):
        transform = transforms.Compose([transforms.Normalize((0.3,), (0.4,))])

        def __getitem__(self, index: int) -> Any:
            image, label = super().__getitem__(index)
            return self.transform(image), label

    images, labels = digits()
    data = Normalized(images[:256], labels[:256])
    snapshot = HorizontalPathSnapshot(pairs=2, max_steps=200, on_error="raise")
    fit(tmp_path / "found", snapshot, train=DataLoader(data, 64), validation=None)
    (found,) = snapshots(tmp_path / "found")
    assert not found.scaled
    path = found.paths[0]
    assert path.source_index is not None
    pixels = (images[path.source_index, 0] * 255).round().byte().numpy()
    assert np.abs(path.frames[0].astype(int) - pixels.astype(int)).max() <= 1
    # Negative control: plain tensors have no normalization.
    fit(tmp_path / "unknown", HorizontalPathSnapshot(pairs=2, **QUICK), validation=None)
    (unknown,) = snapshots(tmp_path / "unknown")
    assert unknown.scaled


@pytest.mark.parametrize("logger", [True, False], ids=["TensorBoard", "no logger"])
def test_save_files_writes_files_into_the_log_folder(tmp_path: Path, logger: bool) -> None:
    trainer = fit(
        tmp_path, HorizontalPathSnapshot(pairs=2, save_files=True, **QUICK), logger=logger
    )
    folder = Path(trainer.log_dir) / "leaf" / "horizontal_path-000000000008"
    files = {file.name for file in folder.iterdir()}
    assert files == {"path-0.npz", "path-1.npz", "strips.png"}


def test_loggers_without_images_are_supported(tmp_path: Path) -> None:
    snapshot = HorizontalPathSnapshot(pairs=1, **QUICK)
    fit(tmp_path, snapshot, logger=CSVLogger(tmp_path))
    assert snapshot.last_snapshot is not None


def test_errors_are_raised_at_the_first_step(tmp_path: Path) -> None:
    outside = HorizontalPathSnapshot("fit_end", [(0, 10**6)], max_steps=5)
    with pytest.warns(
        UserWarning, match="has switched itself off.*the data set has 397 examples"
    ) as caught:
        trainer = fit(tmp_path, outside)
    assert trainer.global_step == 8
    assert len([w for w in caught if "has switched itself off" in str(w.message)]) == 1
    raising = HorizontalPathSnapshot("fit_end", [(0, 10**6)], on_error="raise")
    with pytest.raises(LeafError, match="the data set has 397 examples"):
        fit(tmp_path, raising)


@pytest.mark.parametrize("noise_steps", [0, 4])
def test_diverged_weights_have_non_finite_paths_and_training_continues(
    tmp_path: Path, noise_steps: int
) -> None:
    snapshot = HorizontalPathSnapshot([1, 5], pairs=1, noise_steps=noise_steps, **QUICK)
    trainer = fit(tmp_path, snapshot, module=Diverging(), validation=None)
    assert trainer.global_step == 8
    before, after = (each.paths[0] for each in snapshots(tmp_path))
    assert (before.status, before.steps) == ("out_of_steps", 6)
    assert (after.status, after.steps) == ("non_finite", 0)


BAD: dict[str, tuple[type, dict[str, Any], str]] = {
    "when": (HorizontalPathSnapshot, {"when": "sometimes"}, "when expects"),
    "pairs": (HorizontalPathSnapshot, {"pairs": 0}, "pairs expects"),
    "noise": (HorizontalPathSnapshot, {"noise_steps": -1}, "noise_steps expects"),
    "threshold": (HorizontalPathSnapshot, {"threshold": 0.0}, "threshold expects"),
    "starts": (OrthogonalWalkSnapshot, {"starts": 0}, "starts expects"),
    "step size": (OrthogonalWalkSnapshot, {"step_size": -0.1}, "step_size expects"),
    "steps": (OrthogonalWalkSnapshot, {"max_steps": 0}, "max_steps expects"),
    "normalize": (OrthogonalWalkSnapshot, {"normalize": "imagenet"}, "normalize expects"),
}


@pytest.mark.parametrize(("kind", "arguments", "message"), BAD.values(), ids=BAD.keys())
def test_errors_name_the_argument(kind: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        kind(**arguments)
