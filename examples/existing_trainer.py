"""Add the LEAF callbacks to a Lightning script: the two added lines end in "# added".

python examples/existing_trainer.py
tensorboard --logdir lightning_logs        # open the LEAF tab
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor  # added


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
            nn.Linear(64, 10),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_accuracy", (self(x).argmax(1) == y).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main():
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    data = TensorDataset(images, torch.tensor(digits.target))
    train, val = random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))
    trainer = L.Trainer(
        max_epochs=20,
        log_every_n_steps=10,
        callbacks=[LocalDataMatrixMonitor(every_n_steps=50), HorizontalPathSnapshot()],  # added
    )
    trainer.fit(Classifier(), DataLoader(train, 32, shuffle=True), DataLoader(val, 32))


if __name__ == "__main__":
    main()
