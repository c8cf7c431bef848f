"""The plugin in separate processes: its imports, and a running TensorBoard."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
from importlib.metadata import version
from pathlib import Path

import pytest
from tensorboard_plugin_leaf import tag_of, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import ask, await_snapshots, fetch, tensorboard

HEAVY = ("torch", "lightning", "pytorch_lightning", "tensorflow", "lightning_leaf")


def imported(statements: str) -> set[str]:
    """Return the top-level modules that a new interpreter imports in ``statements``."""
    program = f"import sys\n{statements}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {line.partition(".")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    "statements",
    [
        "import tensorboard_plugin_leaf.loader",
        "from tensorboard_plugin_leaf import encode, decode, summary_of, write",
        "import tensorboard_plugin_leaf.routes.plugin",
        "from tensorboard_plugin_leaf.loader import LeafLoader\n"
        "from tensorboard.plugins.base_plugin import TBContext\n"
        "LeafLoader().load(TBContext(data_provider=None)).get_plugin_apps()",
    ],
)
def test_plugin_imports_no_torch(statements: str) -> None:
    modules = imported(statements)
    assert "tensorboard_plugin_leaf" in modules
    assert not modules.intersection(HEAVY)


def test_imports_of_torch_are_detected() -> None:
    assert "torch" in imported("import torch")


def test_package_imports_its_dependencies_at_first_use() -> None:
    assert not imported("import tensorboard_plugin_leaf").intersection(["numpy", "PIL"])
    assert {"numpy", "PIL"} <= imported("from tensorboard_plugin_leaf import encode")


def test_tensorboard_starts_without_the_tab_if_the_import_fails() -> None:
    statements = (
        "sys.modules['PIL'] = None\n"
        "from tensorboard_plugin_leaf.loader import LeafLoader\n"
        "assert LeafLoader().load(None) is None\n"
    )
    assert "tensorboard_plugin_leaf" in imported(statements)


def test_unknown_names_raise_attribute_errors() -> None:
    import tensorboard_plugin_leaf

    assert all(hasattr(tensorboard_plugin_leaf, name) for name in tensorboard_plugin_leaf.__all__)
    assert not hasattr(tensorboard_plugin_leaf, "nothing")


def test_version_is_that_of_the_distribution_and_read_at_first_use() -> None:
    import tensorboard_plugin_leaf

    assert tensorboard_plugin_leaf.__version__ == version("tensorboard-plugin-leaf")
    assert "__version__" not in vars(tensorboard_plugin_leaf)


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_running_tensorboard_shows_the_tab_under_a_path_prefix(
    tmp_path: Path, load_fast: str
) -> None:
    log = LogDirectory(tmp_path)
    snapshot = synthetic.snapshot()
    with log.run("version_0") as writer:
        write(writer, snapshot)
    arguments = ("--path_prefix=/some/prefix", f"--load_fast={load_fast}")
    with tensorboard(tmp_path, *arguments) as url:
        base = url.rstrip("/")
        assert base.endswith("/some/prefix")
        listing = json.loads(fetch(f"{base}/data/plugins_listing"))
        assert "leaf" in listing, "install the plugin: python -m pip install -e tb_plugin"
        module = listing["leaf"]["loading_mechanism"]["module_path"]
        assert module == "/some/prefix/data/plugin/leaf/index.js"
        assert b"render" in fetch(base.removesuffix("/some/prefix") + module)
        await_snapshots(url, 1)
        runs = ask(url, "snapshots")["runs"]
        tag = tag_of(snapshot)
        assert [item["tag"] for run in runs for item in run["snapshots"]] == [tag]
        sheet = fetch(f"{base}/data/plugin/leaf/frames?run=version_0&tag={tag}")
        assert sheet.startswith(b"\x89PNG")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{base}/data/plugin/leaf/frames?run=version_0&tag=unknown")
