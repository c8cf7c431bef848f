"""Compare ways to change an image so that a classifier says another class.

    python -m examples.counterfactuals --quick                # scikit-learn's digits, seconds
    python -m examples.counterfactuals --data DIR --seeds 5   # MNIST, half an hour of one core

DIR contains MNIST/raw, as torchvision stores MNIST. Checkpoints and measurements in --out are
reused, so an interrupted run resumes. The report is README.md in the folder --to.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from examples.counterfactuals.comparison import Comparison
from examples.counterfactuals.pictures import draw
from examples.counterfactuals.readme import write_readme, write_results
from examples.counterfactuals.scale import FULL, QUICK
from examples.counterfactuals.training import KINDS
from examples.paper.__main__ import threads
from lightning_leaf.data.image_datasets import DataUnavailableError


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.counterfactuals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="folder with MNIST/raw")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("leaf_logs/counterfactuals"),
        help="default: leaf_logs/counterfactuals",
    )
    parser.add_argument(
        "--seeds", type=int, help="networks of each kind; default: 5 or, with --quick, 1"
    )
    parser.add_argument("--quick", action="store_true", help="small settings on digits")
    parser.add_argument("--to", type=Path, help="folder of the report; default: --out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parsed(arguments)
    if args.data is None and not args.quick:
        print("error: pass --data DIR, a folder with MNIST/raw, or --quick", file=sys.stderr)
        return 2
    scale = QUICK if args.quick else FULL
    comparison = Comparison(scale, args.seeds or scale.seeds, args.data, args.out)
    try:
        with threads(1):  # the networks are small
            runs = tqdm(
                [(kind, seed) for seed in range(comparison.seeds) for kind in KINDS],
                desc="networks",
                disable=None,
                leave=False,
            )
            measured = {(kind, seed): comparison.measured(kind, seed) for kind, seed in runs}
            found = {
                kind: [measured[kind, seed] for seed in range(comparison.seeds)] for kind in KINDS
            }
            draw(comparison, found, args.out / "figures")
            write_results(comparison, found)
        print(f"report: {write_readme(args.out, args.to or args.out)}")
    except DataUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
