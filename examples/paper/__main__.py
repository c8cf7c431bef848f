"""Reproduce the experiments of the paper and compare its claims with the measurements.

    python -m examples.paper all --quick                  # scikit-learn's digits, under a minute
    python -m examples.paper all --data DIR --out DIR     # MNIST and CIFAR-10, hours
    python -m examples.paper fig4 --data DIR --out DIR    # one experiment
    python -m examples.paper readme --out DIR             # the report on the results in --out

The quick setting takes about 40 s of one core. It uses one thread: its networks are small, and more
threads make them slower, especially on a busy machine.

DIR contains MNIST/raw, as torchvision stores MNIST, and cifar10-jpeg.zip, CIFAR-10 as JPEG files.
Checkpoints and measurements in --out are reused, so an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from examples.paper.readme import write_readme
from examples.paper.registry import EXPERIMENTS
from examples.paper.run import print_estimate, run
from examples.paper.scale import FULL, QUICK
from examples.paper.study import Study
from lightning_leaf.data.image_datasets import DataUnavailableError


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {one.name:<10} {one.title}" for one in EXPERIMENTS.values())
    parser = argparse.ArgumentParser(
        prog="python -m examples.paper",
        description=__doc__,
        epilog=f"experiments:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "experiments", nargs="+", choices=["all", "readme", *EXPERIMENTS],
        metavar="experiment", help="names of experiments, all, or readme",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder with MNIST/raw and cifar10-jpeg.zip")
    parser.add_argument(
        "--out", type=Path, default=Path("leaf_logs/paper"), help="default: leaf_logs/paper"
    )
    parser.add_argument(
        "--seeds", type=int, help="number of trainings; default: 3 or, with --quick, 1"
    )
    parser.add_argument("--quick", action="store_true", help="small settings on digits")
    parser.add_argument("--to", type=Path, help="folder of the report; default: --out")
    parser.add_argument("--train-steps", type=int, help="optimizer steps of Fig. 2 (paper: 30000)")
    return parser.parse_args(arguments)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use ``count`` threads for tensor operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parsed(arguments)
    scale = QUICK if args.quick else FULL
    if args.train_steps is not None:
        scale = scale.with_training(args.train_steps)
    study = Study(scale, args.seeds or scale.seeds, args.data, args.out)
    every = "all" in args.experiments
    chosen = [one for name, one in EXPERIMENTS.items() if every or name in args.experiments]
    try:
        with threads(1 if args.quick else torch.get_num_threads()):
            if chosen:
                print_estimate(study, chosen)
            for experiment in chosen:
                run(study, experiment)
        if every or "readme" in args.experiments:
            print(f"\nreport: {write_readme(args.out, args.to or args.out)}")
    except (DataUnavailableError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
