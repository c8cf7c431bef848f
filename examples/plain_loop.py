"""Measure a training loop of plain PyTorch, and log paths at its end.

    python examples/plain_loop.py [--steps 300] [--logdir leaf_logs/plain]
    tensorboard --logdir leaf_logs             # open the LEAF tab

The monitor and the writer do not change the training, and their errors do not stop it.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from lightning_leaf import LeafMonitor, LeafWriter, horizontal_path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps")
    parser.add_argument("--logdir", type=Path, default=Path("leaf_logs/plain"), help="log folder")
    args = parser.parse_args()

    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    board = SummaryWriter(args.logdir)
    writer = LeafWriter(board)  # or LeafWriter("leaf_logs/plain")
    held_out = images[1400:1432], labels[1400:1432]
    monitor = LeafMonitor(held_out, writer=writer, every_n_steps=50)

    for step in range(args.steps):
        monitor.measure_if_due(model, step)
        rows = torch.randint(1400, (64,))
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        board.add_scalar("train_loss", loss, step)

    monitor.measure(model, args.steps)
    starts, ends = (images[1400:1404], labels[1400:1404]), (images[1404:1408], labels[1404:1408])
    writer.snapshot(
        # A function: the writer catches its errors.
        lambda: horizontal_path(model, starts[0], ends[0], domain=(0, 1), max_steps=200),
        args.steps,
        sources=starts,
        destinations=ends,
        domain=(0, 1),
    )
    board.close()
    for step, trace in zip(monitor.history["step"], monitor.history["trace_mean"], strict=True):
        print(f"step {step}: mean trace {trace:.4g}")


if __name__ == "__main__":
    main()
