"""Arguments that both commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from lightning_leaf.errors import shown

ACCELERATORS = ["auto", "cpu", "gpu", "mps"]


def add_accelerator(parser: argparse.ArgumentParser) -> None:
    """Add ``--accelerator`` to the parser of a command."""
    parser.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        default="auto",
        help="Lightning accelerator to run on (default: %(default)s)",
    )


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir`` to the parser of a command."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder of torchvision's data sets, downloaded if missing (default: %(default)s)",
    )


def whole_number(text: str, at_least: int, at_most: int) -> int:
    """Convert an argument to a whole number within a range.

    Raises:
        argparse.ArgumentTypeError: If it is not one.
    """
    try:
        number = int(text)
    except ValueError:  # also for more than 4300 digits
        number = at_least - 1
    if not at_least <= number <= at_most:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {at_least} to {at_most}; got {shown(text)}"
        )
    return number


def positive_whole_number(text: str) -> int:
    """Convert an argument to a number of inputs or epochs, as a type for argparse."""
    return whole_number(text, 1, 2**31 - 1)


def number_of_devices(text: str) -> int:
    """Convert an argument to a number of processes of one machine, as a type for argparse."""
    return whole_number(text, 1, 1024)


def seed(text: str) -> int:
    """Convert an argument to a seed, as a type for argparse."""
    return whole_number(text, 0, 2**32 - 1)


def local_folder(text: str) -> Path:
    """Convert an argument to a path, as a type for argparse. URLs of remote folders are errors."""
    from lightning_leaf.display.locations import local_path

    path = local_path(text)
    if path is None:
        raise argparse.ArgumentTypeError(f"expected a local folder; got {shown(text)}")
    return path
