"""The command ``lightning-leaf``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_leaf.cli import measure as cli_measure

if TYPE_CHECKING:
    from lightning_leaf.demo.training import DemoRun

ACCELERATORS = ["auto", "cpu", "gpu", "mps"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit status."""
    args = _parser().parse_args(argv)
    status: int = args.command(args)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lightning-leaf",
        description="See how a classifier sees its data while it trains.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train a small classifier on real images and log what TensorBoard's LEAF tab shows",
        description=(
            "Trains a small ReLU network with the LEAF callbacks attached, prints what they saw, "
            "and says how to look at it in TensorBoard."
        ),
    )
    demo.add_argument(
        "--data",
        choices=["digits", "mnist", "fashion-mnist"],
        default="digits",
        help="%(default)s by default; they come with scikit-learn and need no download",
    )
    demo.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        help="where torchvision's data sets are, or are downloaded to (default: %(default)s)",
    )
    demo.add_argument(
        "--logdir", type=Path, default=Path("leaf_logs"), help="where to log (default: %(default)s)"
    )
    demo.add_argument(
        "--seed", type=int, default=0, help="of weights, batches and probes (default: %(default)s)"
    )
    demo.add_argument(
        "--max-epochs", type=_positive, help="25 by default on the digits, 2 on the others"
    )
    demo.add_argument(
        "--accelerator",
        choices=ACCELERATORS,
        default="auto",
        help="what Lightning trains on (default: %(default)s)",
    )
    demo.add_argument(
        "--serve", action="store_true", help="start TensorBoard afterwards and print its address"
    )
    demo.set_defaults(command=_demo)
    cli_measure.add_parser(commands, _positive, ACCELERATORS)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text}")
    return number


def _demo(args: argparse.Namespace) -> int:
    # Imported here, so that --help answers at once.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from lightning_leaf.data.image_datasets import DataUnavailableError
    from lightning_leaf.demo.report import print_report
    from lightning_leaf.demo.training import train

    try:
        args.logdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _refused(f"cannot log to {args.logdir} ({error.strerror}). Give another --logdir.")
    try:
        run: DemoRun = train(
            args.data,
            args.data_dir,
            args.logdir,
            seed=args.seed,
            max_epochs=args.max_epochs,
            accelerator=args.accelerator,
        )
    except DataUnavailableError as error:
        return _refused(str(error))
    except MisconfigurationException as error:
        return _refused(f"{error} Leave out --accelerator, or give --accelerator cpu.")
    print_report(run.monitor, run.snapshots)
    print(f"\nLogged to {run.log_dir}")
    if args.serve:
        return _serve(args.logdir)
    print(f"Now look at it:  tensorboard --logdir {args.logdir}   (tab LEAF)")
    return 0


def _refused(why: str) -> int:
    print(f"lightning-leaf demo: {why}", file=sys.stderr)
    return 1


def _serve(logdir: Path) -> int:
    """TensorBoard in this process, until Ctrl-C."""
    import threading

    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(logdir)])
    url = server.launch()
    print(f"TensorBoard is at {url}#leaf   (Ctrl-C stops it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    return 0
