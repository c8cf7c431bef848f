"""The directive ``command-help``, which inserts the help of a command into a page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


class CommandHelp(Directive):
    """A directive that inserts the help of a command of this environment as a literal block."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[Node]:
        name, *arguments = self.arguments
        command = Path(sys.executable).with_name(name)
        done = subprocess.run(
            [command, *arguments, "--help"],
            env={**os.environ, "COLUMNS": "88"},
            check=True,
            capture_output=True,
            text=True,
        )
        block = nodes.literal_block(done.stdout, done.stdout)
        block["language"] = "text"
        return [block]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
