"""What the built distributions of lightning-leaf contain and say."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

import lightning_leaf

ROOT = Path(__file__).resolve().parents[1]
RELATIVE = re.compile(r"""\]\((?!https?:)|(?:src|srcset|href)=["'](?!https?:)""")


def build(folder: Path, target: str, into: Path) -> Path:
    """Build an archive of the distribution in a folder, as pip does, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (archive,) = into.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    return build(folder, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The metadata that a package index reads."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_the_plugin_of_the_same_version_is_required(metadata: Message) -> None:
    version = metadata["Version"]
    assert version == lightning_leaf.__version__
    assert f"tensorboard-plugin-leaf=={version}" in metadata.get_all("Requires-Dist", [])


def test_the_long_description_has_no_link_that_an_index_cannot_follow(metadata: Message) -> None:
    description = metadata.get_payload()
    assert description.startswith("# lightning-leaf")
    assert "## Add it to your training" in description
    assert not RELATIVE.search(description)
    # The README itself has such links, so that the search above can fail.
    assert RELATIVE.search((ROOT / "README.md").read_text())


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "lightning_leaf"
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert held == modules


def test_readme_is_a_front_door() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700


def test_every_file_that_readme_links_to_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    targets += re.findall(r'(?:src|srcset)="([^"]+)"', readme)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
