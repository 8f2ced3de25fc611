"""The shape of the code, held by tests: the public face, sizes, names, the direction of imports."""

import ast
import inspect
import re
import statistics
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import overfetch

ROOT = Path(__file__).parent.parent
SITES = sorted(path.parent.name for path in ROOT.glob("sites/*/pyproject.toml"))
SOURCES = sorted(path for folder in ("packages", "sites") for path in (ROOT / folder).glob("*/src/**/*.py"))
MAX_LINES = 300
LONG_FUNCTION = 50
MAX_SITE = 600  # lines of code


def names_of(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(place, lines) of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def public_names() -> set[str]:
    """What the package offers without an underscore; its own submodules are no part of its face."""
    return {
        name
        for name, value in vars(overfetch).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


def test_all_is_what_is_there_and_sorted() -> None:
    assert set(overfetch.__all__) == public_names()
    assert overfetch.__all__ == sorted(overfetch.__all__)
    assert all(hasattr(overfetch, name) for name in overfetch.__all__)


def test_everything_public_says_what_it_is() -> None:
    for name in overfetch.__all__:
        value = getattr(overfetch, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
            assert own, f"overfetch.{name} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=names_of(SOURCES))
def test_files_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "a file begins with what it is for"


def test_functions_stay_short() -> None:
    lengths = [length for path in SOURCES for _, length in functions(path)]
    long = [place for path in SOURCES for place, length in functions(path) if length > LONG_FUNCTION]
    assert statistics.median(lengths) <= 12
    assert len(long) < 0.05 * len(lengths), long


def code_lines(path: Path) -> int:
    """Those that are neither blank nor comments nor docstrings."""
    text = path.read_text(encoding="utf-8")
    documented = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = [node.body[0] for node in documented if ast.get_docstring(node)]
    told = {line for node in docstrings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(map(str.strip, text.splitlines()), start=1)
    return sum(bool(line) and not line.startswith("#") and number not in told for number, line in lines)


@pytest.mark.parametrize("site", SITES)
def test_a_site_is_small(site: str) -> None:
    assert sum(code_lines(path) for path in SOURCES if path.is_relative_to(ROOT / "sites" / site)) < MAX_SITE


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    assert [name for name in names_of(SOURCES) if Path(name).name in drawers] == []


def test_every_site_has_the_same_files() -> None:
    trees = {
        site: {
            path.relative_to(ROOT / "sites" / site / "src" / site).as_posix() for path in SOURCES if site in path.parts
        }
        for site in SITES
    }
    for site, files in trees.items():
        assert {"__init__.py", "chunking.py", "answering.py"} <= files, site


def test_every_site_is_installed() -> None:
    assert overfetch.site_names() == SITES


def test_the_drawn_error_tree_is_the_real_one() -> None:
    """Every error is in the drawing, below its parent."""
    from overfetch import errors

    parents: dict[str, str] = {}
    branch = ["OverfetchError"]
    for bars, name in re.findall(r"^([├└│─ ]*[├└]── )(\w+)", inspect.getdoc(errors) or "", re.MULTILINE):
        depth = len(bars) // 4
        branch = [*branch[:depth], name]
        parents[name] = branch[depth - 1]
    real = {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value is not errors.OverfetchError
    }
    assert parents == real


def test_every_error_is_public() -> None:
    from overfetch import errors

    raised = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert raised <= set(overfetch.__all__)


def test_imports_point_the_allowed_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout
