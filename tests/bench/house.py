"""How large the house is: files, lines, the longest file and the median function of every package, as Markdown.

uv run python tests/bench/house.py [FOLDER OF ANOTHER CLONE]
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    print(
        "| package | files | lines | longest file | functions | median | over 50 lines |\n|---|---|---|---|---|---|---|"
    )
    for package in sorted([*root.glob("packages/*"), *root.glob("sites/*")]):
        print(row(package.name, sorted(package.glob("src/**/*.py"))))
    print(row("all", sorted([*root.glob("packages/*/src/**/*.py"), *root.glob("sites/*/src/**/*.py")])))


def row(name: str, files: list[Path]) -> str:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    functions = [length for path in files for length in function_lengths(path)] or [0]
    longest = max(files, key=lambda path: lines[path])
    long = sum(length > 50 for length in functions)
    return (
        f"| {name} | {len(files)} | {sum(lines.values()):,} | {longest.name} {lines[longest]} | {len(functions)} "
        f"| {median(functions):.0f} | {long} |"
    )


def function_lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    main()
