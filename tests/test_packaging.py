"""What is installed is what is in the tree: the packages, the configuration, the commands, the version."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import guided_seg

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = ("__pycache__", ".egg-info")


def _tree(folder: str, pattern: str) -> set[str]:
    """The files of ``folder`` that match, relative to it."""
    found = (path for path in (ROOT / folder).rglob(pattern) if not any(skip in str(path) for skip in SKIPPED))
    return {path.relative_to(ROOT / folder).as_posix() for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, without the network."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((tree / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is unpacked to, which is all that installing one without its dependencies does."""
    target = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def _python(installed: Path, code: str) -> str:
    """What ``code`` prints when only the installed copy can be imported, from a folder that is not the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = _tree("src", "*.py") | {"guided_seg/py.typed"}
    configuration = {f"guided_seg/conf/{name}" for name in _tree("conf", "*.yaml") | {"__init__.py"}}
    assert code | configuration <= names
    assert {name for name in names if "dist-info" not in name} == code | configuration


def test_the_configuration_is_importable(installed: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "folder = files('guided_seg.conf')\n"
        "print(folder)\n"
        "print(*sorted(group.name for group in folder.iterdir() if group.is_dir() and '__' not in group.name))"
    )
    folder, *groups = _python(installed, code).splitlines()
    assert Path(folder) == installed / "guided_seg" / "conf"
    assert groups == [" ".join(sorted({name.split("/")[0] for name in _tree("conf", "*/*.yaml")}))]


def test_the_wheel_says_the_version_and_the_commands(installed: Path) -> None:
    metadata = next(installed.glob("*.dist-info"))
    assert f"\nVersion: {guided_seg.__version__}\n" in (metadata / "METADATA").read_text()
    entries = configparser.ConfigParser()
    entries.read(metadata / "entry_points.txt")
    assert dict(entries["console_scripts"]) == {
        "guided-seg": "guided_seg.run:main",
        "guided-seg-evaluate": "guided_seg.evaluate:main",
    }


@pytest.mark.parametrize("module", ["guided_seg.run", "guided_seg.evaluate"])
def test_each_command_imports_from_the_wheel(installed: Path, module: str) -> None:
    assert _python(installed, f"import {module} as m; print(m.main is not None, m.__file__)") == (
        f"True {installed / module.replace('.', '/')}.py"
    )


def test_the_changelog_starts_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == guided_seg.__version__


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE)
    assert listed == phony[1].split() == re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)


def test_the_lists_in_setup_cfg_are_whole() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    folders = {name.removesuffix("/__init__.py").replace("/", ".") for name in _tree("src", "__init__.py")}
    assert set(setup["options"]["packages"].split()) == folders | {"guided_seg.conf"}
    for extra, others in {"test": ("tensorboard", "efficientnet"), "dev": ("test",)}.items():
        assert all(f"%({other})s" in setup["options.extras_require"][extra] for other in others)
