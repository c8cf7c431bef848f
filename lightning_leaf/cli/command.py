"""The parser of ``lightning-leaf`` and its entry point."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lightning_leaf.cli import demo, measure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; default: those of the process.

    Returns:
        The exit status.
    """
    args = _parser().parse_args(argv)
    status: int = args.command(args)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lightning-leaf",
        description=(
            "Measure how sensitive a classifier is to its inputs: trace and effective rank of the "
            "local data matrix, and paths along and across its leaves."
        ),
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo.add_parser(commands)
    measure.add_parser(commands)
    return parser
