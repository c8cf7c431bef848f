"""Run a benchmark by its name, or list them: `python -m tests.benchmarks [NAME]`.

A benchmark is a module beside this one with a function `run()`, whose docstring begins with the
line that the list shows.
"""

from __future__ import annotations

import argparse
import ast
import importlib
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """The first line of the docstring of every benchmark, by its name."""
    found = {}
    for file in sorted(FOLDER.glob("[!_]*.py")):
        # Read, not imported: listing must not wait for what the benchmarks import.
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in module.body):
            summary = (ast.get_docstring(module) or "").partition("\n")[0]
            found[file.stem.replace("_", "-")] = summary
    return found


def main(arguments: list[str] | None = None) -> None:
    """List the benchmarks, or run the one that is named."""
    known = benchmarks()
    lines = [f"  {name:<20} {summary}" for name, summary in known.items()]
    listing = "\n".join(["benchmarks:", *lines])
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Run a benchmark; without a name, list them.",
        epilog=listing,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=list(known), metavar="NAME")
    name = parser.parse_args(arguments).name
    if name is None:
        print(listing)
        return
    importlib.import_module(f"tests.benchmarks.{name.replace('-', '_')}").run()


if __name__ == "__main__":
    main()
