"""What is installed is what is in the tree: the packages, the configuration, the commands, the version."""

from __future__ import annotations

import configparser
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.processes import ended, python

import guided_seg
from guided_seg.release import CARD, CHECKSUMS, MODEL, names

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = ("__pycache__", ".egg-info")


def _tree(folder: str, pattern: str) -> set[str]:
    """The files of ``folder`` that match, relative to it."""
    found = {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob(pattern)}
    return {path for path in found if not any(skipped in path for skipped in SKIPPED)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, without the network."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    _run("-m", "build", "--wheel", "--no-isolation", folder=tree)
    return next((tree / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is unpacked to, as an installation without dependencies does."""
    target = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def _run(*arguments: str, folder: Path, path: str = "") -> str:
    """What Python prints when run in ``folder``, with the modules in ``path`` before all others."""
    return python(*arguments, limit=300, folder=folder, PYTHONPATH=path).strip()


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    splits = {
        f"guided_seg/data/sources/splits/{name}"
        for name in _tree("src/guided_seg/data/sources/splits", "*.txt") | {"SHA256SUMS"}
    }
    released = {file for name in (CARD, MODEL, CHECKSUMS) for file in _tree("src", f"guided_seg/release/**/{name}")}
    page = {
        f"guided_seg/app/{part}/{name}"
        for part in ("web", "samples")
        for name in _tree(f"src/guided_seg/app/{part}", "*.*")
    }
    others = {"guided_seg/py.typed", "guided_seg/tools/napari.yaml"}
    code = _tree("src", "*.py") | splits | released | page | others
    configuration = {f"guided_seg/conf/{name}" for name in _tree("conf", "*.yaml") | {"__init__.py"}}
    assert code | configuration <= names
    assert {name for name in names if "dist-info" not in name} == code | configuration


def test_the_configuration_is_importable(installed: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "folder = files('guided_seg.conf')\n"
        "print(folder)\n"
        "print(*sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != '_'))"
    )
    folder, *groups = _run("-c", code, folder=installed, path=str(installed)).splitlines()
    assert Path(folder) == installed / "guided_seg" / "conf"
    assert groups == [" ".join(sorted({name.split("/")[0] for name in _tree("conf", "*/*.yaml")}))]


def test_the_wheel_says_the_version_and_the_commands(installed: Path) -> None:
    metadata = next(installed.glob("*.dist-info"))
    assert f"\nVersion: {guided_seg.__version__}\n" in (metadata / "METADATA").read_text()
    entries = configparser.ConfigParser()
    entries.read(metadata / "entry_points.txt")
    assert dict(entries["console_scripts"]) == {
        "guided-seg": "guided_seg.__main__:main",
        "guided-seg-app": "guided_seg.app.__main__:main",
        "guided-seg-segment": "guided_seg.segment.__main__:main",
        "guided-seg-evaluate": "guided_seg.evaluate:main",
        "guided-seg-study": "guided_seg.study.__main__:main",
        "guided-seg-dashboard": "guided_seg.dashboard.__main__:main",
        "guided-seg-episodes": "guided_seg.episodes:main",
        "guided-seg-compare": "guided_seg.compare:main",
        "guided-seg-prepare": "guided_seg.data.prepare:main",
        "guided-seg-benchmark": "guided_seg.benchmark.__main__:main",
        "guided-seg-inspect": "guided_seg.data.inspect:main",
        "guided-seg-export": "guided_seg.export.__main__:main",
        "guided-seg-release": "guided_seg.release.__main__:main",
    }


@pytest.mark.parametrize("module", ["guided_seg.run", "guided_seg.compare", "guided_seg.data.prepare"])
def test_each_command_imports_from_the_wheel(installed: Path, module: str) -> None:
    code = f"import {module} as command; print(callable(command.main), command.__file__)"
    file = installed / f"{module.replace('.', '/')}.py"
    assert _run("-c", code, folder=installed, path=str(installed)) == f"True {file}"


OFFLINE = """
import sys

def refuse(event, _):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise PermissionError("the network was asked")

sys.addaudithook(refuse)
"""


@pytest.mark.parametrize("name", names())
def test_a_released_model_loads_from_the_wheel_without_network(installed: Path, name: str) -> None:
    code = f"{OFFLINE}\nimport guided_seg; print(guided_seg.load('{name}').training, guided_seg.__file__)"
    assert _run("-c", code, folder=installed, path=str(installed)) == f"False {installed / 'guided_seg/__init__.py'}"


def test_the_changelog_starts_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == guided_seg.__version__


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    shown = ended("make", limit=60, folder=ROOT).stdout
    listed = re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE)
    assert listed == phony[1].split() == re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)


def test_the_lists_in_setup_cfg_are_whole() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    folders = {name.removesuffix("/__init__.py").replace("/", ".") for name in _tree("src", "__init__.py")}
    assert set(setup["options"]["packages"].split()) == folders | {"guided_seg.conf"}
    for extra, others in {"test": ("tensorboard", "efficientnet", "export"), "dev": ("test",)}.items():
        assert all(f"%({other})s" in setup["options.extras_require"][extra] for other in others)


def test_the_lock_has_each_requirement_in_a_version_that_is_allowed() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.+!]+", line) for line in lines), "no path, and no address"
    pinned = {canonicalize_name(name): found for name, _, found in (line.partition("==") for line in lines) if found}
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    words = "\n".join([setup["options"]["install_requires"], *(extras[name] for name in ("app", "test", "dev"))])
    needed = [Requirement(line) for line in words.splitlines() if line and not line.startswith("%")]
    assert len(needed) > 30
    assert [str(each) for each in needed if not each.specifier.contains(pinned[canonicalize_name(each.name)])] == []


def test_the_configuration_page_lists_every_group_and_option() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    listed = {}
    for group, options in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE):
        listed[group] = set(re.findall(r"`(\w+)`", options))
    there: dict[str, set[str]] = {}
    for name in _tree("conf", "*/[!_]*.yaml"):
        group, option = name.removesuffix(".yaml").split("/", 1)
        there.setdefault(group, set()).add(option)
    assert listed == there
