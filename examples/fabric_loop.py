"""Measure a training loop of Lightning Fabric: the lines about LEAF end in "# LEAF".

python examples/fabric_loop.py [--steps 300] [--precision bf16-mixed]
tensorboard --logdir leaf_logs             # open the LEAF tab
"""

import argparse

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import TensorBoardLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from lightning_leaf import LeafMonitor  # LEAF


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps")
    parser.add_argument("--precision", default="32-true", help="precision of Fabric")
    args = parser.parse_args()

    logger = TensorBoardLogger("leaf_logs", name="fabric")
    fabric = Fabric(accelerator="cpu", devices=1, precision=args.precision, loggers=logger)
    fabric.launch()
    fabric.seed_everything(0)

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    data = TensorDataset(images[:1400], labels[:1400])
    sampler = RandomSampler(data, replacement=True, num_samples=64 * args.steps)
    loader = fabric.setup_dataloaders(DataLoader(data, 64, sampler=sampler))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.5))

    held_out = images[1400:1432], labels[1400:1432]
    monitor = LeafMonitor(held_out, writer=fabric.logger, every_n_steps=50)  # LEAF
    for step, (x, y) in enumerate(loader):
        monitor.measure_if_due(model, step)  # LEAF
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        fabric.log("train_loss", loss, step=step)
    monitor.measure(model, args.steps)  # LEAF

    logger.finalize("success")
    first, last = (monitor.history["trace_mean"][i] for i in (0, -1))
    fabric.print(f"mean trace: {first:.4g} at step 0, {last:.4g} at step {args.steps}")


if __name__ == "__main__":
    main()
