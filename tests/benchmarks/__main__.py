"""Run a benchmark by name, or list all: ``python -m tests.benchmarks [NAME]``.

A benchmark is a module in this folder with a function ``run()``. The list shows the first line of
the module's docstring.
"""

from __future__ import annotations

import argparse
import ast
import importlib
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """Return the first line of the docstring of every benchmark, by name."""
    found = {}
    for file in sorted(FOLDER.glob("[!_]*.py")):
        # Parse without importing, so that the list appears at once.
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in module.body):
            summary = (ast.get_docstring(module) or "").partition("\n")[0]
            found[file.stem.replace("_", "-")] = summary
    return found


def main(arguments: list[str] | None = None) -> None:
    """List the benchmarks, or run the named one."""
    known = benchmarks()
    lines = [f"  {name:<20} {summary}" for name, summary in known.items()]
    listing = "\n".join(["benchmarks:", *lines])
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Run a benchmark. Without a name, list all benchmarks.",
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
