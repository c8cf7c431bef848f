"""Measure a classifier with plain PyTorch, without Lightning and without a download.

    python examples/digits.py [--out DIR]

Train a small network on scikit-learn's digits, print trace and effective rank of the local data
matrix before and after the training, and plot horizontal paths and orthogonal walks.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from lightning_leaf import LocalDataMatrix, effective_rank, horizontal_path, orthogonal_walk
from lightning_leaf.data.image_datasets import load


def train(model, images, labels, steps=1500, batch_size=60):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(steps), desc="training"):
        rows = torch.randint(len(images), (batch_size,), generator=generator)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def report(title, model, images):
    g = LocalDataMatrix.at(model, images)  # one matrix for each image
    rank = effective_rank(g.eigenvalues()).mean()
    print(
        f"{title}: median trace {g.trace().median():.4g}, mean trace {g.trace().mean():.4g}, "
        f"effective rank {rank:.2f}, tangent dimension {g.tangent_dimension().double().mean():.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("leaf_logs"), help="folder of the figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    data = load("digits", out)
    images = torch.stack([image for image, _ in data.train])
    labels = torch.tensor([label for _, label in data.train])
    probe = torch.stack([data.val[i][0] for i in range(64)])
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 16, 10),
    )  # fmt: skip

    report("before training", model, probe)
    train(model, images, labels)
    report("after training", model, probe)

    # With normalize, all points stay valid pixels.
    normalize = data.val.transform
    paths = horizontal_path(model, probe[:4], probe[4:8], normalize=normalize)
    walks = orthogonal_walk(model, probe[:4], normalize=normalize, max_steps=250)
    print(paths, walks, sep="\n")
    for name, found in (("horizontal_paths", paths), ("orthogonal_walks", walks)):
        found.plot().savefig(out / f"{name}.png")
        print(f"figure: {out / name}.png")


if __name__ == "__main__":
    main()
