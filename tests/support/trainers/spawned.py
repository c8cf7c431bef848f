"""A script that trains in two processes, which import this file again (therefore the guard)."""

from __future__ import annotations

import lightning as L
from torch.utils.data import DataLoader

from lightning_leaf import (
    HorizontalPathSnapshot,
    LocalDataMatrixMonitor,
    OrthogonalWalkSnapshot,
    PredictionPathSnapshot,
)
from tests.support.callbacks.training import SmallCNN, train_data, validation_data

if __name__ == "__main__":
    L.seed_everything(0)
    trainer = L.Trainer(
        strategy="ddp_spawn",
        accelerator="cpu",
        devices=2,
        max_steps=4,
        callbacks=[
            LocalDataMatrixMonitor(probe=4, every_n_steps=2, on_error="raise"),
            HorizontalPathSnapshot(2, pairs=2, max_steps=4, on_error="raise"),
            OrthogonalWalkSnapshot("fit_end", starts=2, max_steps=4, on_error="raise"),
            PredictionPathSnapshot("fit_end", 1, to="each", max_steps=2, on_error="raise"),
        ],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(
        SmallCNN(), DataLoader(train_data(), batch_size=32), DataLoader(validation_data(), 200)
    )
