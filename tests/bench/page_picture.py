"""The README's pictures of the page: a question to the sample pages, in light and in dark.

uv run --group dev python tests/bench/page_picture.py

Needs Debian's packages chromium and fonts-inter.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

PICTURES = Path(__file__).parents[2] / "shared/pictures"
ASKED = {"q": "How do I pin a reranker to one version?", "mode": "ask", "where": "kind=guide|model|tool"}
SIZE = {"width": 1_200, "height": 800}
STARTS_WITHIN_S = 300.0  # it indexes first
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for scheme in SCHEMES:
            picture = PICTURES / f"page-{scheme}.png"
            draw(browser, address, scheme, picture)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")
        browser.close()


def draw(browser: Browser, address: str, scheme: Literal["light", "dark"], picture: Path) -> None:
    page = browser.new_page(viewport={"width": SIZE["width"], "height": SIZE["height"]}, color_scheme=scheme)
    page.goto(f"{address}/#/builddaily/chat?{urlencode(ASKED)}")
    page.locator("#results[aria-busy=false] .answer.done").wait_for()
    page.locator("#query").blur()
    page.screenshot(path=picture)
    page.close()


@contextmanager
def served() -> Iterator[str]:
    """The sample pages, indexed into a store that goes away again."""
    program = str(Path(sys.executable).parent / "overfetch")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as store:
        environment = {**os.environ, "OVERFETCH_QDRANT": f"file:{store}"}
        server = subprocess.Popen([program, "serve", "builddaily", "--port", str(port)], env=environment)
        try:
            await_ready(server, f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def await_ready(server: "subprocess.Popen[bytes]", address: str) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(f"{address}/readyz"):
                return
        except URLError:
            time.sleep(0.2)
    raise SystemExit(f"{address} did not get ready")


if __name__ == "__main__":
    main()
