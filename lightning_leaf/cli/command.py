"""The parser of ``lightning-leaf`` and its entry point."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper

from lightning_leaf.cli.failures import INTERRUPTED, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; default: those of the process.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and isinstance(stream, TextIOWrapper):
            # A progress bar has characters that the encoding of a terminal may not have.
            stream.reconfigure(errors="replace")
    try:
        args = _parser().parse_args(argv)
        status: int = args.command(args)
    except KeyboardInterrupt:  # also while modules are imported, or a second time
        if argv is None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # this process ends now
        say("lightning-leaf: interrupted.")
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    # Imported here, so that Ctrl-C meanwhile is handled.
    from lightning_leaf.cli import demo, measure

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
