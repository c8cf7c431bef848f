"""Measure a training with the Trainer of Hugging Face's transformers.

python -m pip install transformers accelerate
python examples/hugging_face.py [--steps 200]
tensorboard --logdir leaf_logs/hugging_face    # open the LEAF tab
"""

import argparse

import torch
from sklearn.datasets import load_digits
from transformers import (
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    default_data_collator,
)

from lightning_leaf import LeafTrainerCallback


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps")
    steps = parser.parse_args().steps

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    examples = [
        {"pixel_values": image, "labels": int(label)}
        for image, label in zip(images, digits.target, strict=True)
    ]
    train, held_out = examples[:1400], examples[1400:]
    config = ViTConfig(
        image_size=8, patch_size=2, num_channels=1, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, num_labels=10,
    )  # fmt: skip
    callback = LeafTrainerCallback(default_data_collator(held_out[:32]), every_n_steps=50)
    arguments = TrainingArguments(
        output_dir="leaf_logs/hugging_face", max_steps=steps, per_device_train_batch_size=64,
        learning_rate=3e-3, report_to=["tensorboard"], save_strategy="no", use_cpu=True,
        logging_steps=10,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    Trainer(model, arguments, train_dataset=train, callbacks=[callback]).train()
    history = callback.monitor.history
    for step, trace in zip(history["step"], history["trace_mean"], strict=True):
        print(f"step {step}: mean trace {trace:.4g}")


if __name__ == "__main__":
    main()
