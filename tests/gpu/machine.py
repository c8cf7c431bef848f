"""What a GPU check ran on: the card with its clocks and power limit, and the versions."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import torch

from tests.benchmarks.machine import describe

CARD = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"
PACKAGES = ("lightning", "torchmetrics", "torchvision", "tensorboard", "curvlinops-for-pytorch")


def main(device: str) -> None:
    """Print it."""
    print(describe())
    versions = {each.name: each.version for each in importlib.metadata.distributions()}
    print(", ".join(f"{package} {versions.get(package, 'missing')}" for package in PACKAGES))
    print(f"cuDNN {torch.backends.cudnn.version()}, CUDA {torch.version.cuda}")
    if device == "cuda":
        command = ["nvidia-smi", f"--query-gpu={CARD}", "--format=csv"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        print(asked.stdout, asked.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
