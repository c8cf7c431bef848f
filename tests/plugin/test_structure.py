"""The folders of the plugin import each other in one direction only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import tensorboard_plugin_leaf

PACKAGE = Path(tensorboard_plugin_leaf.__file__).parent
# A folder may import itself and the folders to the left of it.
FOLDERS = ("schema", "codec", "store", "routes")


def imported_folders(code: str) -> set[str]:
    """Return the folders of the plugin from which ``code`` imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    prefix = "tensorboard_plugin_leaf."
    return {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_import_only_themselves_and_folders_to_their_left(folder: str) -> None:
    allowed = set(FOLDERS[: FOLDERS.index(folder) + 1])
    modules = list((PACKAGE / folder).glob("*.py"))
    assert len(modules) > 1
    for module in modules:
        assert imported_folders(module.read_text("utf-8")) <= allowed, module.name


def test_all_folders_are_checked() -> None:
    found = {file.parent.name for file in PACKAGE.glob("*/*.py")}
    assert found == set(FOLDERS)


@pytest.mark.parametrize(
    "code",
    [
        "import tensorboard_plugin_leaf.store.listing",
        "from tensorboard_plugin_leaf import store",
        "def f():\n    from tensorboard_plugin_leaf.store.listing import Context",
    ],
)
def test_every_form_of_import_is_found(code: str) -> None:
    assert imported_folders(code) == {"store"}
