"""The page for everybody: by keys alone, at every width, in light and dark; and for nobody's scripts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import ASK, QUERY, last_request, settled
from fastapi.testclient import TestClient
from listening import listening
from playwright.sync_api import Page, expect

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.routes.page import FILES, VERSION
from overfetch_serve.settings import ServiceSettings

WIDTHS = (400, 768, 1_280, 1_600)
SMALL = 100_000  # bytes of the whole bundle

ATTACK = """# <img src=x onerror="attacked=1"> tower

<script>attacked = 2</script> The tower stands <b>here</b>.
[a link](javascript:attacked=3) <iframe srcdoc="<script>parent.attacked=4</script>"></iframe>
"""


class TestForeignText:
    @pytest.fixture
    def attacked(self, tmp_path: Path, session_cache: Path) -> Iterator[str]:
        """A service whose documents attack its page."""
        folder = tmp_path / "notes"
        folder.mkdir()
        (folder / "attack.md").write_text(ATTACK)
        environment = Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None)
        application = create_app(
            [str(folder)], workspace=Workspace(environment), settings=ServiceSettings(state=tmp_path)
        )
        application.state.service.engine("notes").index("pages")
        with listening(application) as address:
            yield address

    def test_none_of_it_runs(self, page: Page, attacked: str) -> None:
        query = '<svg onload="attacked=5"> tower stands'
        page.goto(f"{attacked}/#/notes/pages?mode=ask&q={query}&where=%3Cimg src=x onerror=attacked=6%3E%3D1")
        expect(page.get_by_role("alert")).to_contain_text("<img")
        page.goto("about:blank")
        page.goto(f"{attacked}/#/notes/pages?mode=ask&q={query}")
        settled(page)
        expect(page.locator(".answer.done")).to_be_visible()
        expect(page.locator(".passage .text")).to_contain_text("<b>here</b>")
        page.get_by_role("button", name="Whole document").click()
        expect(page.locator("dialog .text")).to_contain_text("<iframe")
        assert page.evaluate("typeof attacked") == "undefined"
        assert (
            page.locator("main img, main iframe, main b, main script, dialog iframe, a[href^=javascript]").count() == 0
        )

    def test_the_policy_allows_this_service_only(self, client: TestClient) -> None:
        policy = client.get("/").headers["Content-Security-Policy"]
        directives = dict(one.strip().split(" ", 1) for one in policy.split(";"))
        assert directives.pop("default-src") == "'none'"
        assert {*directives.values()} <= {"'self'", "'none'", "'script'"}
        assert "unsafe" not in policy


class TestByKeysAlone:
    def test_from_the_query_to_a_passage_of_the_document(self, page: Page, address: str) -> None:
        page.goto(f"{address}/#/builddaily/chat")
        expect(page.locator(".example").first).to_be_visible()
        page.keyboard.type(QUERY)
        page.keyboard.press("Enter")
        settled(page)
        go_to(page, "Add filter")
        page.keyboard.press("Enter")
        go_to(page, "kind")
        page.keyboard.press("Enter")
        expect(page.locator(".choice").first).to_be_visible()
        page.keyboard.type("guide")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        asked = last_request(page, lambda: page.keyboard.press("Enter"))
        assert asked["where"] == ["kind=guide"]
        settled(page)
        go_to(page, "Now 1,")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator(".passage.current .rank")).to_have_text("2")
        expect(page.locator(".passage.current")).to_be_focused()
        go_to(page, "Whole document")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("/")
        expect(page.get_by_label("Query or question")).to_be_focused()


def go_to(page: Page, name: str) -> None:
    """By the tab key, to what is called so."""
    called = "(one) => (one.getAttribute('aria-label') || one.textContent).trim()"
    for _ in range(120):
        page.keyboard.press("Tab")
        if str(page.evaluate(f"({called})(document.activeElement)")).startswith(name):
            return
    raise AssertionError(f"the tab key does not lead to {name!r}")


class TestLooks:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_is_wider_than_the_window(self, page: Page, address: str, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{address}/{ASK}&where=kind%3Dguide%7Cmodel%7Ctool&where=updated%3E%3D2024-01-01")
        settled(page)
        expect(page.locator(".answer.done")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.get_by_role("button", name="Options").click()
        box = page.locator("#options-panel").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_nothing_serious(self, page: Page, address: str, scheme: Any) -> None:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        ground = "getComputedStyle(document.body).backgroundColor"
        page.goto(f"{address}/#/builddaily/resources")
        expect(page.locator(".example").first).to_be_visible()
        assert page.evaluate(ground) == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 18, 20)"}[scheme]
        require_accessible(page)
        page.goto(f"{address}/{ASK}&deadline_ms=0.01&where=kind%3Dguide%7Cmodel")
        settled(page)
        page.locator(".not-kept summary").first.click()
        require_accessible(page)
        page.get_by_role("button", name="Add filter").click()
        page.locator("#filter-panel").get_by_role("button", name="tags").click()
        expect(page.locator(".choice").first).to_be_visible()
        require_accessible(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Whole document").first.click()
        expect(page.get_by_role("dialog").locator(".text").first).to_be_visible()
        require_accessible(page)

    @pytest.mark.parametrize("width", WIDTHS)
    def test_the_page_of_routes(self, page: Page, address: str, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{address}/docs")
        expect(page.get_by_role("cell", name="/v1/{site}/{collection}/search", exact=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        require_accessible(page)

    def test_the_colours_are_chosen_and_kept(self, page: Page, address: str) -> None:
        page.emulate_media(color_scheme="light")
        page.goto(address)
        page.get_by_label("Colours").select_option("dark")
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 20)"


def require_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert serious == [], [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]


class TestFiles:
    def test_files_are_kept_for_good_by_their_version(self, client: TestClient) -> None:
        start = client.get("/")
        assert f"page/{VERSION}/main.js" in start.text
        assert start.headers["Cache-Control"] == "no-cache"
        for name in FILES:
            served = client.get(f"/page/{VERSION}/{name}")
            assert served.headers["Cache-Control"].endswith("immutable")
            assert served.headers["Content-Type"].split(";")[0] in ("text/javascript", "text/css", "image/svg+xml")
        assert client.get("/page/of-another-version/main.js").headers["Cache-Control"] == "no-cache"
        assert client.get(f"/page/{VERSION}/..%2Fapp.py").status_code == 404
        assert client.get(f"/page/{VERSION}/nothing.js").status_code == 404

    def test_the_bundle_is_small_and_asks_nobody_else(self, client: TestClient) -> None:
        assert sum(map(len, FILES.values())) < SMALL
        others = {"http://www.w3.org/2000/svg"}
        text = b"".join(FILES.values()).decode() + client.get("/").text
        assert set(re.findall(r"https?://[^\s\"'`>]+", text)) <= others
