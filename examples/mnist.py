"""Train the CNN of the paper on MNIST with the LEAF callbacks: SGD 0.01, batches of 60.

    python examples/mnist.py --data DIR [--max-steps 10000]
    tensorboard --logdir leaf_logs             # open the LEAF tab

DIR is the folder of torchvision's MNIST (DIR/MNIST/raw). MNIST is downloaded if it is missing.
"""

import argparse
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_leaf import HorizontalPathSnapshot, LocalDataMatrixMonitor, OrthogonalWalkSnapshot
from lightning_leaf.data.image_datasets import load
from lightning_leaf.demo.classifier import SmallCNN
from lightning_leaf.demo.report import print_report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of torchvision's MNIST")
    parser.add_argument(
        "--max-steps", type=int, default=10_000, help="optimizer steps (paper: 10 000)"
    )
    parser.add_argument(
        "--path-steps", type=int, default=5000, help="largest number of path steps (paper: 5000)"
    )
    parser.add_argument("--logdir", type=Path, default=Path("leaf_logs"), help="folder of the logs")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches")
    parser.add_argument("--accelerator", default="auto", help="Lightning accelerator")
    args = parser.parse_args()

    L.seed_everything(args.seed)
    data = load("mnist", args.data)
    shuffle = torch.Generator().manual_seed(args.seed)
    monitor = LocalDataMatrixMonitor(
        probe=200, every_n_steps=max(50, args.max_steps // 50), ranks=["entropy", "stable"]
    )
    # The paper's step size, number of path steps and threshold of Algorithm 1.
    paths = HorizontalPathSnapshot(
        when=["trace_return", "fit_end", args.max_steps // 10, args.max_steps // 3],
        step_size=0.1, max_steps=args.path_steps, threshold=1.0,
    )  # fmt: skip
    noisy_starts = HorizontalPathSnapshot(
        name="noisy_start", when="fit_end", pairs=4, noise_steps=250,
        step_size=0.1, max_steps=args.path_steps, threshold=1.0,
    )  # fmt: skip
    walks = OrthogonalWalkSnapshot(
        when=["trace_return", "fit_end"], step_size=0.1, max_steps=min(1000, args.path_steps)
    )
    trainer = L.Trainer(
        max_steps=args.max_steps,
        accelerator=args.accelerator,
        devices=1,
        logger=TensorBoardLogger(args.logdir, name="mnist"),
        callbacks=[monitor, paths, noisy_starts, walks],
    )
    trainer.fit(
        SmallCNN(data.image_shape),
        DataLoader(data.train, batch_size=60, shuffle=True, generator=shuffle),
        DataLoader(data.val, batch_size=500),
    )
    print_report(monitor, [paths, noisy_starts, walks])
    print(f"\nOpen the logs with: tensorboard --logdir {args.logdir}   (LEAF tab)")


if __name__ == "__main__":
    main()
