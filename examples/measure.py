"""A whole data set, on all the devices that there are, into a table that a run can go on with.

python examples/measure.py --devices 2      # stop it, start it again: it goes on
"""

import argparse

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import LeafPredictor, MeasurementWriter, read_measurements
from lightning_leaf.demo.classifier import SmallCNN


def main():
    parser = argparse.ArgumentParser(description="Measure scikit-learn's digits, the last 360.")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--out", default="measured")
    args = parser.parse_args()

    digits = load_digits()
    images = torch.tensor(digits.images[-360:], dtype=torch.float32).unsqueeze(1) / 16
    data = TensorDataset(images, torch.tensor(digits.target[-360:]))

    L.seed_everything(0)  # a model of your own comes from its checkpoint
    model = SmallCNN((1, 8, 8))

    writer = MeasurementWriter(args.out)
    trainer = L.Trainer(
        accelerator="cpu", devices=args.devices, callbacks=[writer], logger=False
    )  # num_nodes=… for more
    predictor = LeafPredictor(model, ranks=["entropy", "stable"])
    trainer.predict(predictor, writer.remaining(DataLoader(data, 32)), return_predictions=False)

    if trainer.is_global_zero:
        rows = read_measurements(args.out).to_pylist()
        rows.sort(key=lambda row: row["trace"])
        print(f"{len(rows)} inputs; the least and the most sensitive:")
        for row in (rows[0], rows[-1]):
            print(
                f"  input {row['index']}, a {row['label']}: trace {row['trace']:.3g}, "
                f"entropy rank {row['effective_rank_entropy']:.2f}"
            )


if __name__ == "__main__":
    main()
