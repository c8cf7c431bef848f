"""Arguments and errors that both commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

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


def positive_whole_number(text: str) -> int:
    """Convert an argument to a whole number of at least 1, as a type for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number; got {text!r}")
    return number


def local_folder(text: str) -> Path:
    """Convert an argument to a path, as a type for argparse. URLs of remote folders are errors."""
    from lightning_leaf.display.locations import local_path

    path = local_path(text)
    if path is None:
        raise argparse.ArgumentTypeError(f"expected a local folder; got {text!r}")
    return path


def fail(command: str, message: str) -> int:
    """Print an error of a command and return its exit status, 1."""
    print(f"lightning-leaf {command}: {message}", file=sys.stderr)
    return 1
