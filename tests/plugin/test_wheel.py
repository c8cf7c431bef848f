"""The wheel in a separate environment, without torch and lightning-leaf."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlencode

import pytest
from packaging.requirements import Requirement
from tensorboard_plugin_leaf import tag_of, write

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory
from tests.support.tensorboard_process import ask, await_snapshots, fetch, tensorboard

pytest.importorskip("hatchling")

SOURCES = Path(__file__).parents[2] / "tb_plugin"
SNAPSHOT = synthetic.snapshot(paths=1)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without Node and network, as from a source archive, which has the page."""
    root: Path = tmp_path_factory.mktemp("sources") / "tb_plugin"
    shutil.copytree(SOURCES, root, ignore=shutil.ignore_patterns("frontend", "__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (built,) = (root / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the interpreter of an environment with the wheel and its requirements."""
    folder: Path = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    executable = folder / "bin" / "python"
    print_purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([executable, "-c", print_purelib], text=True).strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    requirements = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]
    for name in required(requirements):
        link(name, packages)
    return str(executable)


def required(requirements: list[str]) -> set[str]:
    """Return the names of all direct and indirect requirements in this environment."""
    names: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and requirement.name not in names:
            names.add(requirement.name)
            waiting += distribution(requirement.name).requires or []
    return names


def link(name: str, packages: Path) -> None:
    """Link a distribution of this environment into another, without a download."""
    of = distribution(name)
    for top in {file.parts[0] for file in of.files or [] if file.parts[0] != ".."}:
        target = packages / top
        if not target.exists():
            target.symlink_to(str(of.locate_file(top)))


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the repository, because Python imports packages from the current directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("module", ["torch", "lightning", "lightning_leaf", "PIL"])
def test_environment_has_only_the_requirements_of_the_wheel(python: str, module: str) -> None:
    done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
    is_missing = f"No module named '{module}'" in done.stderr
    assert is_missing == (module != "PIL")


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (("--logdir={}", "--load_fast=false", "--path_prefix=/some/prefix"), ["run"]),
        (("--logdir={}", "--load_fast=true", "--path_prefix=/some/prefix"), ["run"]),
        # With several directories, TensorBoard uses the Python loader.
        (("--logdir_spec=named:{}", "--load_fast=auto"), ["named/run"]),
    ],
)
def test_wheel_shows_the_tab_without_other_packages(
    python: str, tmp_path: Path, arguments: tuple[str, ...], runs: list[str]
) -> None:
    with LogDirectory(tmp_path).run("run") as writer:
        write(writer, SNAPSHOT)
    filled = [argument.format(tmp_path) for argument in arguments]
    with tensorboard(None, *filled, python=python) as url:
        listing = json.loads(fetch(f"{url}data/plugins_listing"))
        module = listing["leaf"]["loading_mechanism"]["module_path"]
        assert fetch(f"{url}{module[module.index('data/') :]}") == page()
        await_snapshots(url, 1)
        listed = ask(url, "snapshots")["runs"]
        assert [run["run"] for run in listed] == runs
        key = urlencode({"run": runs[0], "tag": tag_of(SNAPSHOT)})
        assert ask(url, f"path?{key}")["steps"] == SNAPSHOT.paths[0].steps
        assert fetch(f"{url}data/plugin/leaf/frames?{key}").startswith(b"\x89PNG")


def test_tab_is_missing_without_the_wheel(python: str, tmp_path: Path) -> None:
    (packages,) = Path(python).parents[1].glob("lib/python*/site-packages")
    (entry,) = packages.glob("tensorboard_plugin_leaf-*.dist-info")
    elsewhere = entry.rename(Path(python).parent / entry.name)
    try:
        with tensorboard(tmp_path, "--load_fast=false", python=python) as url:
            assert "leaf" not in json.loads(fetch(f"{url}data/plugins_listing"))
    finally:
        shutil.move(elsewhere, entry)


def page() -> bytes:
    return (SOURCES / "tensorboard_plugin_leaf" / "static" / "index.js").read_bytes()
