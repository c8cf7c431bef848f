"""The command ``lightning-leaf demo``: train a small classifier and log its snapshots."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lightning_leaf.cli.arguments import (
    add_accelerator,
    add_data_dir,
    local_folder,
    positive_whole_number,
    seed,
)
from lightning_leaf.cli.failures import fail


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``lightning-leaf``."""
    parser = commands.add_parser(
        "demo",
        help="train a small classifier on real images and log it for TensorBoard's LEAF tab",
        description=(
            "Train a small ReLU network with the LEAF callbacks, print what they measured, and "
            "print the command that shows the logs in TensorBoard."
        ),
    )
    parser.add_argument(
        "--data",
        choices=["digits", "mnist", "fashion-mnist"],
        default="digits",
        help="data set (default: %(default)s, which come with scikit-learn and need no download)",
    )
    add_data_dir(parser)
    parser.add_argument(
        "--logdir",
        type=local_folder,
        default=Path("leaf_logs"),
        metavar="DIR",
        help="folder of the logs (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="seed of weights, batches and probes (default: %(default)s)",
    )
    parser.add_argument(
        "--max-epochs",
        type=positive_whole_number,
        metavar="N",
        help="number of epochs (default: 25 for digits, 2 for the other data sets)",
    )
    add_accelerator(parser)
    parser.add_argument(
        "--serve",
        action="store_true",
        help="start TensorBoard after the training and print its address",
    )
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Returns:
        The exit status.
    """
    # Imported here to keep --help fast.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from lightning_leaf.data.image_datasets import DataUnavailableError
    from lightning_leaf.demo.report import print_report
    from lightning_leaf.demo.training import train

    try:
        args.logdir.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        return fail("demo", f"cannot write to {args.logdir} ({cause}). Give another --logdir.")
    try:
        demo = train(
            args.data,
            args.data_dir,
            args.logdir,
            seed=args.seed,
            max_epochs=args.max_epochs,
            accelerator=args.accelerator,
        )
    except DataUnavailableError as error:
        return fail("demo", str(error))
    except MisconfigurationException as error:
        return fail("demo", f"{error} Remove --accelerator or give --accelerator cpu.")
    print_report(demo.monitor, demo.snapshots)
    print(f"\nLogs: {demo.log_dir}")
    if args.serve:
        return _serve(args.logdir)
    print(f"Open them with: tensorboard --logdir {args.logdir}   (LEAF tab)")
    return 0


def _serve(logdir: Path) -> int:
    """Run TensorBoard in this process until Ctrl-C."""
    import threading

    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(logdir)])
    url = server.launch()
    print(f"TensorBoard: {url}#leaf   (Ctrl-C stops it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    return 0
