"""The command ``lightning-leaf measure``: measure a data set for one or more checkpoints."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_leaf.cli.arguments import (
    add_accelerator,
    add_data_dir,
    local_folder,
    number_of_devices,
    positive_whole_number,
)
from lightning_leaf.cli.failures import (
    INTERRUPTED,
    described,
    fail,
    is_interrupt,
    is_of_lightning,
    printable,
)
from lightning_leaf.errors import Interrupted, LeafError, message_of, type_name
from lightning_leaf.geometry.rank_kinds import RANK_KINDS

if TYPE_CHECKING:
    from lightning_leaf.model.likelihood import Likelihood

BATCH_SIZE = 32
FIGURE = "checkpoints.png"
STEM_BYTES = 200
"""File systems allow names of 255 bytes."""
RESUME = "All rows measured so far are written; run again with the same --out to measure the rest."
LIKELIHOODS = ["categorical", "bernoulli"]

Measured = tuple[Path, int | None]
"""The folder of a checkpoint, and the step at which the checkpoint was saved."""


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``lightning-leaf``."""
    parser = commands.add_parser(
        "measure",
        help="measure every input of a data set for one or more checkpoints",
        description=(
            "Measure the local data matrix at every input of a data set. Each checkpoint gets a "
            "folder of Parquet files in --out, with one row for each input. Then print a summary "
            "of each checkpoint and, for several checkpoints, plot trace and ranks over training. "
            "Interrupted runs resume: run again with the same --out to measure only the missing "
            "inputs; the number of devices may differ. Modules of --model, --data, --forward and "
            "--batch are imported from Python's installed packages, then from the current folder; "
            "their code runs with your permissions."
        ),
    )
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=True, metavar="PATH",
        help="Lightning checkpoints, or files with a state dict; read with "
        "torch.load(weights_only=True), which runs no code from the file",
    )  # fmt: skip
    parser.add_argument(
        "--model", required=True, metavar="PKG.CLASS",
        help="the classifier: dotted path of a LightningModule class, called with the "
        "hyper-parameters of the checkpoint, or of another class or function, called without "
        "arguments",
    )  # fmt: skip
    parser.add_argument(
        "--data", required=True, metavar="PKG.DATA",
        help="the data: dotted path of a LightningDataModule, Dataset or DataLoader, or of a class "
        "or function without arguments that returns one; or digits, mnist, fashion-mnist (the "
        "validation images of the demo)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=local_folder, required=True, metavar="DIR",
        help="output folder, created if missing",
    )  # fmt: skip
    parser.add_argument(
        "--ranks", nargs="+", choices=RANK_KINDS, default=["entropy"], metavar="KIND",
        help=f"effective ranks to compute: {', '.join(RANK_KINDS)} (default: entropy)",
    )  # fmt: skip
    parser.add_argument(
        "--forward", metavar="NAME",
        help="how to call the model: name of a method or sub-module that computes the scores, or "
        "dotted path of a function (model, inputs) -> scores (default: the model itself)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", nargs="+", metavar="KEY",
        help="where inputs and labels are in a batch: one or two keys, or the dotted path of a "
        "function batch -> (inputs, labels)",
    )  # fmt: skip
    parser.add_argument(
        "--likelihood", choices=LIKELIHOODS,
        help="what the scores mean: logits of exclusive classes (categorical, the default) or of "
        "independent labels (bernoulli)",
    )  # fmt: skip
    parser.add_argument(
        "--class-names", nargs="+", metavar="NAME",
        help="names of all classes, written into the metadata of the table",
    )  # fmt: skip
    parser.add_argument(
        "--exact", action="store_true", default=None,
        help="use all classes even if there are more than 160 (default: estimate)",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=positive_whole_number, default=BATCH_SIZE, metavar="N",
        help="inputs per batch; must stay the same to resume a run (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--devices", type=number_of_devices, default=1, metavar="N",
        help="number of devices, with one process each (default: %(default)s)",
    )  # fmt: skip
    add_accelerator(parser)
    parser.add_argument(
        "--limit", type=positive_whole_number, metavar="N",
        help="measure only the first N inputs (default: all)",
    )  # fmt: skip
    add_data_dir(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Measure all checkpoints.

    Returns:
        The exit status.
    """
    # Imported here to keep --help fast.
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.utilities import rank_zero_only

    from lightning_leaf.data.image_datasets import DataUnavailableError

    try:
        # An installed command does not find modules in the current folder. They come last, so that
        # a file there, such as torch.py, does not replace an installed module.
        args.folder = Path.cwd()
        sys.path.append(str(args.folder))
        # Code of the user may change the current folder.
        args.out, args.data_dir = args.out.absolute(), args.data_dir.absolute()
        args.checkpoint = [path.absolute() for path in args.checkpoint]
        measured = _measure_all(args)
        if getattr(rank_zero_only, "rank", 0) == 0:
            _report(measured, args)
    except Interrupted:
        return fail("measure", f"interrupted by SIGTERM. {RESUME}")
    except (LeafError, DataUnavailableError, ModuleNotFoundError) as error:
        return fail("measure", message_of(error))
    except BaseException as error:  # the code of --model and --data may raise anything
        if type(error) is MisconfigurationException and is_of_lightning(error):
            advice = "Give another --accelerator or another --devices."
            return fail("measure", f"{message_of(error)} {advice}")
        if is_interrupt(error):
            fail("measure", f"interrupted. {RESUME}")
            return INTERRUPTED
        return fail("measure", f"measuring raised {described(error)}. {RESUME}")
    return 0


def _measure_all(args: argparse.Namespace) -> list[Measured]:
    from lightning_leaf.cli.checkpoints import require_file
    from lightning_leaf.cli.datasets import loader_of
    from lightning_leaf.cli.dotted_names import named, say_what_is_hidden

    for path in args.checkpoint:
        require_file(path)
    say_what_is_hidden([args.model, args.data, args.forward, *(args.batch or [])])
    make = named(args.model, "a class or function that returns the classifier")
    if not callable(make):
        raise LeafError(
            "--model expects a class or function that returns the classifier; "
            f"{args.model} is an instance of {type_name(make)}. Give a function that returns "
            "it."
        )
    loader = loader_of(args.data, args.data_dir, args.batch_size, args.limit)
    return [_measure(path, make, loader, args) for path in args.checkpoint]


def _measure(path: Path, make: Any, loader: Any, args: argparse.Namespace) -> Measured:
    import lightning as L

    from lightning_leaf.cli.checkpoints import read_checkpoint
    from lightning_leaf.cli.classifiers import load_classifier
    from lightning_leaf.cli.start_folder import StartFolder
    from lightning_leaf.predict import LeafPredictor, MeasurementWriter
    from lightning_leaf.predict.fingerprint import fingerprint

    checkpoint = read_checkpoint(path)
    classifier = load_classifier(checkpoint, make, args.model)
    # Two checkpoints may have the same name, such as last.ckpt.
    folder = args.out / f"{_short_stem(path)}-{fingerprint(classifier)[:8]}"
    writer = MeasurementWriter(folder)
    remaining = writer.remaining(loader)
    predictor = LeafPredictor(
        classifier,
        ranks=args.ranks,
        forward=args.forward,
        batch=_split(args.batch),
        likelihood=args.likelihood,
        class_names=args.class_names,
        exact=args.exact,
    )
    if len(remaining) == 0:
        writer.require(predictor)
    else:
        with warnings.catch_warnings():
            # Users set the number of workers in their loader.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            start = StartFolder(args.folder)
            trainer = L.Trainer(
                accelerator=args.accelerator,
                devices=args.devices,
                callbacks=[start, writer],
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
            )
            start.enter()
            trainer.predict(predictor, remaining, return_predictions=False)
    return folder, checkpoint.step


def _short_stem(path: Path) -> str:
    """Return the name of a checkpoint, cut so that a name of a folder can contain it."""
    encoded = os.fsencode(path.stem)
    is_short = len(encoded) <= STEM_BYTES
    return path.stem if is_short else encoded[:STEM_BYTES].decode(errors="ignore")


def _split(keys: list[str] | None) -> str | list[str] | None:
    """Return the ``batch=`` argument: a single word is a key or the name of a function."""
    return keys[0] if keys is not None and len(keys) == 1 else keys


def _report(measured: list[Measured], args: argparse.Namespace) -> None:
    from lightning_leaf.cli.summary import LEGEND, plot_summaries, summarize, summary_table
    from lightning_leaf.predict.files import write_whole
    from lightning_leaf.predict.folder import MeasurementFolder

    likelihood: Likelihood = args.likelihood or "categorical"
    for folder, _ in measured:
        MeasurementFolder(folder).require_complete()
    summaries = [summarize(folder, args.ranks, likelihood, step) for folder, step in measured]
    print()
    for line in summary_table(summaries):
        print(printable(line))
    print(f"{LEGEND}\n\nRows: {printable(str(args.out))}/*/*.parquet")
    if len(summaries) > 1:
        try:
            figure = plot_summaries(summaries)
        except ModuleNotFoundError as error:
            print(f"No figure: {error}")
            return
        picture = BytesIO()
        figure.savefig(picture, format="png")
        write_whole(args.out / FIGURE, picture.getvalue())
        print(f"Figure: {printable(str(args.out / FIGURE))}")
