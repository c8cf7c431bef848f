"""The command ``lightning-leaf measure``: whole data sets, checkpoint after checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from lightning_leaf.errors import Interrupted, LeafError
from lightning_leaf.geometry.effective_rank import RANK_KINDS

BATCH_SIZE = 32
PLOT = "checkpoints.png"

Measured = tuple[Path, int | None]
"""Where the rows of a checkpoint are, and after how many steps it was saved."""


def add_parser(commands: Any, positive: Any, accelerators: list[str]) -> None:
    """Add the command to a parser."""
    measure = commands.add_parser(
        "measure",
        help="measure a whole data set for one or more checkpoints, on many devices",
        description=(
            "Measures the local data matrix at every input of a data set: one row for each, in "
            "Parquet files under OUT, a folder for each checkpoint; then prints a summary and, "
            "of several checkpoints, draws trace and ranks over training. Started again with the "
            "same OUT, only what is missing is measured, also with another number of devices."
        ),
    )
    measure.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="PATH",
        help="checkpoints of Lightning, or files with a state dict; read without running any code "
        "of theirs (torch.load(weights_only=True))",
    )  # fmt: skip
    measure.add_argument(
        "--model", required=True, metavar="PKG.CLASS",
        help="the classifier: dotted path of a LightningModule class (made with the "
        "hyper-parameters in the checkpoint), or of a class or function without arguments",
    )  # fmt: skip
    measure.add_argument(
        "--data", required=True, metavar="PKG.DATA",
        help="dotted path of a LightningDataModule, Dataset, DataLoader, or of a class or function "
        "without arguments that makes one; or digits, mnist, fashion-mnist (the demo's held-out "
        "part)",
    )  # fmt: skip
    measure.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to write; made if missing"
    )
    measure.add_argument(
        "--ranks", nargs="+", choices=RANK_KINDS, default=["entropy"], metavar="KIND",
        help=f"effective ranks: {', '.join(RANK_KINDS)} (default: entropy)",
    )  # fmt: skip
    measure.add_argument(
        "--batch-size", type=positive, default=BATCH_SIZE, metavar="N",
        help="inputs read and measured together; stays the same when a run is gone on with "
        "(default: %(default)s)",
    )  # fmt: skip
    measure.add_argument(
        "--devices", type=positive, default=1, metavar="N",
        help="processes, each with a device of its own (default: %(default)s)",
    )  # fmt: skip
    measure.add_argument(
        "--accelerator", choices=accelerators, default="auto",
        help="what to measure on (default: %(default)s)",
    )  # fmt: skip
    measure.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N inputs (default: all)"
    )
    measure.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR",
        help="where torchvision's data sets are, or are downloaded to (default: %(default)s)",
    )  # fmt: skip
    measure.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure; the return value is the exit status."""
    # Imported here, so that --help answers at once.
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.utilities import rank_zero_only

    from lightning_leaf.data.image_datasets import DataUnavailableError

    # A command that is installed does not look for modules where it is called.
    sys.path.insert(0, os.getcwd())
    try:
        folders = _measure_all(args)
        if getattr(rank_zero_only, "rank", 0) == 0:
            _report(folders, args)
    except Interrupted:
        return _refused(
            "told to end; what was measured is written. Start again with the same --out to go on."
        )
    except (LeafError, DataUnavailableError, ModuleNotFoundError) as error:
        return _refused(str(error))
    except MisconfigurationException as error:
        return _refused(f"{error} Give another --accelerator or number of --devices.")
    return 0


def _measure_all(args: argparse.Namespace) -> list[Measured]:
    from lightning_leaf.cli.datasets import loader_of
    from lightning_leaf.cli.dotted_names import named

    for path in args.checkpoint:
        if not path.is_file():
            raise LeafError(f"Expected a checkpoint at {path}; there is no such file.")
    make = named(args.model, "a class or function that makes the classifier")
    if not callable(make):
        raise LeafError(
            f"Expected a class or function that makes the classifier at {args.model!r}; it is "
            f"{type(make).__name__}."
        )
    loader = loader_of(args.data, args.data_dir, args.batch_size, args.limit)
    return [_measure(path, make, loader, args) for path in args.checkpoint]


def _measure(path: Path, make: Any, loader: Any, args: argparse.Namespace) -> Measured:
    import lightning as L

    from lightning_leaf.cli.checkpoints import classifier_of, read_checkpoint
    from lightning_leaf.predict import LeafPredictor, MeasurementWriter
    from lightning_leaf.predict.fingerprint import fingerprint

    checkpoint = read_checkpoint(path)
    classifier = classifier_of(checkpoint, make, args.model)
    # Two files may both be called last.ckpt.
    folder = args.out / f"{path.stem}-{fingerprint(classifier)[:8]}"
    writer = MeasurementWriter(folder)
    rest = writer.remaining(loader)
    predictor = LeafPredictor(classifier, ranks=args.ranks)
    if len(rest) == 0:
        writer.open(predictor)
    else:
        with warnings.catch_warnings():
            # Lightning's advice to read data in more processes; theirs is the number of workers.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            trainer = L.Trainer(
                accelerator=args.accelerator,
                devices=args.devices,
                callbacks=[writer],
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
            )
            trainer.predict(predictor, rest, return_predictions=False)
    return folder, checkpoint.step


def _report(measured: list[Measured], args: argparse.Namespace) -> None:
    from lightning_leaf.cli.summary import LEGEND, plot_summaries, summarize, summary_table

    summaries = [summarize(folder, args.ranks, step) for folder, step in measured]
    print()
    for line in summary_table(summaries):
        print(line)
    print(f"{LEGEND}\n\nRows: {args.out}/*/*.parquet")
    if len(summaries) > 1:
        try:
            plot_summaries(summaries).savefig(args.out / PLOT)
        except ModuleNotFoundError as error:
            print(f"Not drawn: {error}")
        else:
            print(f"Drawn: {args.out / PLOT}")


def _refused(why: str) -> int:
    print(f"lightning-leaf measure: {why}", file=sys.stderr)
    return 1
