"""The README's picture: what the first command and a search print, drawn as an SVG.

uv run python tests/bench/picture.py
"""

import os
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[2] / "shared/pictures/ask.svg"
COMMANDS = (
    'overfetch ask builddaily "How do I pin a reranker to one version?"',
    'overfetch search builddaily/chat "What is Sage Daily?" --top-n 3',
)
WIDTH = 110
# Without the web font that rich names: whoever looks at the picture asks nobody else for anything.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, monospace }}
.{unique_id}-title {{ font: bold 18px sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    drawn = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for command in COMMANDS:
        drawn.print(f"[bold green]$[/] [bold]{command}[/]", highlight=False)
        drawn.print(Text.from_ansi(printed_by(command)))
    PICTURE.write_text(drawn.export_svg(title="Overfetch", code_format=FRAME, unique_id="overfetch"), encoding="utf-8")
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


def printed_by(command: str) -> str:
    """What the command prints the second time, when nothing has to be indexed."""
    program = str(Path(sys.executable).parent / "overfetch")
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    for _ in range(2):
        arguments = [program, *shlex.split(command)[1:]]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
