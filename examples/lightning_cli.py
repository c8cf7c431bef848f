"""Use the callbacks with a LightningCLI, configured in a YAML file.

python examples/lightning_cli.py fit --config examples/lightning_cli.yaml
tensorboard --logdir leaf_logs             # open the LEAF tab
"""

from pathlib import Path

import lightning as L
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader

from lightning_leaf.data.image_datasets import DataName, load
from lightning_leaf.demo.classifier import SmallCNN


class ImageDataModule(L.LightningDataModule):
    """A data module of digits, MNIST or Fashion-MNIST.

    Args:
        name: Name of the data set.
        data_dir: Folder of torchvision's data sets; the digits do not need it.
        batch_size: Images per training step.
    """

    def __init__(
        self, name: DataName = "digits", data_dir: str = "data", batch_size: int = 60
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.data = load(name, Path(data_dir))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.data.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.data.val, 500)


if __name__ == "__main__":
    LightningCLI(SmallCNN, ImageDataModule)
