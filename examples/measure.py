"""Measure every input of a data set on several devices, and write a table that a later run resumes.

python examples/measure.py --devices 2      # interrupt it and run it again: it resumes
"""

import argparse

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import LeafPredictor, MeasurementWriter, read_measurements
from lightning_leaf.demo.classifier import SmallCNN


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1, help="number of processes")
    parser.add_argument("--out", default="measured", help="folder of the measurements")
    args = parser.parse_args()

    digits = load_digits()
    images = torch.tensor(digits.images[-360:], dtype=torch.float32).unsqueeze(1) / 16
    data = TensorDataset(images, torch.tensor(digits.target[-360:]))

    L.seed_everything(0)
    model = SmallCNN((1, 8, 8))  # in practice: MyModel.load_from_checkpoint(path)

    writer = MeasurementWriter(args.out)
    # On several nodes, add num_nodes=… and give a folder that all nodes share.
    trainer = L.Trainer(accelerator="cpu", devices=args.devices, callbacks=[writer], logger=False)
    predictor = LeafPredictor(model, ranks=["entropy", "stable"])
    remaining = writer.remaining(DataLoader(data, batch_size=32))  # skips inputs in the folder
    trainer.predict(predictor, remaining, return_predictions=False)

    if trainer.is_global_zero:
        rows = read_measurements(args.out).to_pylist()
        rows.sort(key=lambda row: row["trace"])
        print(f"{len(rows)} inputs measured. Smallest and largest trace:")
        for row in (rows[0], rows[-1]):
            print(
                f"  input {row['index']}, label {row['label']}: trace {row['trace']:.3g}, "
                f"effective rank {row['effective_rank_entropy']:.2f}"
            )


if __name__ == "__main__":
    main()
