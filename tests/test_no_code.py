"""No source runs code of a file: what could is called in one way only, or not at all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("src", "examples", "experiments", "conf") for path in (REPOSITORY / folder).rglob("*.py")
)
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))

FORBIDDEN = {
    # reads Python objects, and so runs what the file says
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "jsonpickle.decode", "dill.load", "dill.loads"),
    # runs text
    *("eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput"),
    # writes where an archive says
    *("shutil.unpack_archive",),
    # a name that somebody else may take
    *("tempfile.mktemp",),
}
KNOWN = {"examples/notebook_figures.py": "exec"}
"""Runs the notebook beside it, to draw what the documentation shows."""
LIGHTNING = ("fit", "validate", "test", "predict")


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each call in a file, and the dotted name of what is called, as it is written there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def given(call: ast.Call, name: str) -> object:
    """The constant that a call gives for a parameter by name; None if there is none."""
    return next(
        (each.value.value for each in call.keywords if each.arg == name and isinstance(each.value, ast.Constant)), None
    )


def faults(path: Path) -> Iterator[str]:
    """What in a file could run code of another file, or write elsewhere."""
    for name, call in calls(path):
        place, keywords = f"{path.relative_to(REPOSITORY)}:{call.lineno}: {name}", {each.arg for each in call.keywords}
        if name in FORBIDDEN or name.endswith(".extractall"):
            yield place
        if name == "torch.load" and given(call, "weights_only") is not True:
            yield f"{place} without weights_only=True"
        resumed = name.startswith("trainer.") and name.rpartition(".")[2] in LIGHTNING and "ckpt_path" in keywords
        if resumed and given(call, "weights_only") is not True:
            yield f"{place} without weights_only=True"
        if name in ("np.load", "numpy.load") and given(call, "allow_pickle"):
            yield f"{place} with allow_pickle"
        if given(call, "shell") is True:
            yield f"{place} with shell=True"


def test_no_source_runs_code_of_a_file() -> None:
    assert len(SOURCES) > 200
    known = [f"{path}:" for path in KNOWN]
    assert [fault for path in SOURCES for fault in faults(path) if not fault.startswith(tuple(known))] == []


def test_tests_read_checkpoints_as_the_sources_do() -> None:
    assert [fault for path in TESTS for fault in faults(path) if "weights_only" in fault or "shell" in fault] == []


@pytest.mark.parametrize(
    "line",
    [
        *("torch.load(path)", "torch.load(path, weights_only=False)", "trainer.fit(module, ckpt_path=path)"),
        *("pickle.loads(data)", "yaml.load(text)", "archive.extractall(folder)", "os.system(line)", "eval(text)"),
        *("subprocess.run(line, shell=True)", "np.load(path, allow_pickle=True)"),
    ],
)
def test_what_is_looked_for_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    (tmp_path / "a.py").write_text(line)
    assert list(faults(tmp_path / "a.py"))
