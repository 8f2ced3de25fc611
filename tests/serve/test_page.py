"""The page at `/`, in Debian's Chromium: what a person sees and does, by mouse and by keys alone."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient
from listening import listening
from playwright.sync_api import Browser, Page, expect, sync_playwright

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.keys import Keys
from overfetch_serve.routes.page import FILES, VERSION
from overfetch_serve.settings import ServiceSettings

QUERY = "how do I pin a reranker version"
SEARCH = "#/builddaily/chat?q=how+do+I+pin+a+reranker+version"
ASK = f"{SEARCH}&mode=ask"
WIDTHS = (400, 768, 1_280, 1_600)
SMALL = 100_000  # bytes of the whole bundle
PATIENCE_MS = 30_000  # a busy machine

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(served_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = ServiceSettings(state=tmp_path_factory.mktemp("state"))
    application = create_app(["builddaily", "sagedaily"], workspace=Workspace(served_environment), settings=settings)
    with listening(application) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Fails where a script fails, or anything is asked of another host."""
    context = browser.new_context(viewport={"width": 1_280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if "Content Security" in said.text else None)
    page.on("request", lambda asked: None if asked.url.startswith("http://127.0.0.1:") else failed.append(asked.url))
    yield page
    context.close()
    assert failed == []


def post(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    asked = Request(f"{address}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(asked) as answered:
        found: dict[str, Any] = json.load(answered)
    return found


def last_request(page: Page, doing: Any, route: str = "/search") -> dict[str, Any]:
    """What the page sends when that is done."""
    with page.expect_request(lambda request: request.url.endswith(route)) as sent:
        doing()
    asked: dict[str, Any] = sent.value.post_data_json
    return asked


def titles(page: Page) -> list[str]:
    return page.locator(".passage h3").all_inner_texts()


def settled(page: Page) -> None:
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".passage").first).to_be_visible()


class TestSearching:
    def test_what_was_found_and_how_it_moved(self, page: Page, address: str) -> None:
        found = post(address, "builddaily/chat/search", {"query": QUERY, "include_candidates": True})
        page.goto(f"{address}/#/builddaily/chat")
        page.get_by_label("Query or question").fill(QUERY)
        page.get_by_role("button", name="Search", exact=True).click()
        settled(page)
        assert titles(page) == [hit["title"] for hit in found["hits"]]
        assert page.locator(".lines path").count() == len(found["candidates"])
        assert page.locator(".lines path.kept").count() == len(found["hits"])
        moved = [(hit["rank"], hit["first_stage_rank"]) for hit in found["candidates"]]
        told = page.locator(".after button").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
        assert [label.partition(":")[0] for label in told] == [f"Now {now}, was {was}" for now, was in moved]
        expect(page.locator(".status")).to_have_text("Reranked")
        expect(page.locator(".scores dd").first).to_have_text(f"{found['hits'][0]['rerank_score']:.2f}")
        expect(page.locator(".times")).to_contain_text("rerank")

    def test_the_address_holds_the_search(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}&where=kind%3Dguide&rerank=off&top_n=2")
        settled(page)
        shared = page.url
        seen = titles(page)
        assert len(seen) == 2
        page.goto("about:blank")
        page.goto(shared)
        settled(page)
        assert titles(page) == seen
        assert QUERY.split()[-1] not in shared.partition("#")[0], "what a server's log would hold"

    def test_back_and_forward(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}")
        settled(page)
        page.get_by_label("Query or question").fill("what is uv")
        page.keyboard.press("Enter")
        expect(page.locator(".passage h3").first).to_have_text("uv")
        page.go_back()
        expect(page.get_by_label("Query or question")).to_have_value(QUERY)
        expect(page.locator(".passage h3").first).not_to_have_text("uv")

    def test_reranking_is_switched_off_and_on(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}")
        settled(page)
        switch = page.get_by_role("switch", name="Rerank")
        assert last_request(page, switch.click)["rerank"] is False
        expect(page.locator(".status")).to_have_text("Reranking is off")
        expect(page.locator(".scores dd").first).to_have_text("not scored")
        assert "rerank" not in last_request(page, switch.click)
        expect(page.locator(".status")).to_have_text("Reranked")

    def test_how_the_question_was_understood(self, page: Page, address: str) -> None:
        query = "The Tower reversed in a question about work"
        understood = post(address, "sagedaily/canon/search", {"query": query})["understood"]
        assert understood, "an example that the site reads something into"
        page.goto(f"{address}/#/sagedaily/canon?q={query}")
        settled(page)
        row = page.locator(".facts-list > div", has_text="Understood")
        for note in understood["notes"]:
            expect(row).to_contain_text(note.rstrip("."), ignore_case=True)
        asked = last_request(page, page.get_by_role("button", name="Search as written").click)
        assert asked["literal"] is True
        expect(row).to_contain_text("Searched for as it is written")
        expect(page.get_by_role("switch", name="Literal")).to_be_checked()

    def test_a_collection_is_chosen_and_invites(self, page: Page, address: str) -> None:
        page.goto(address)
        page.get_by_label("Site and collection").select_option("sagedaily/canon")
        examples = page.locator(".example")
        expect(examples).to_have_count(3)
        text = examples.first.inner_text()
        assert last_request(page, examples.first.click)["query"] == text
        settled(page)


class TestFilters:
    def test_by_kind_of_field(self, page: Page, address: str) -> None:
        with urlopen(f"{address}/v1/builddaily/resources/values/kind") as told:
            counted = {one["value"]: one["passages"] for one in json.load(told)["values"]}
        page.goto(f"{address}/#/builddaily/resources?q=python")
        settled(page)
        page.get_by_role("button", name="Add filter").click()
        page.locator("#filter-panel").get_by_role("button", name="kind").click()
        choice = page.locator(".choice", has_text="guide")
        expect(choice.locator(".count")).to_have_text(str(counted["guide"]))
        choice.click()
        page.locator(".choice", has_text="tool").click()
        apply = page.get_by_role("button", name="Apply")
        assert last_request(page, apply.click)["where"] == ["kind=guide|tool"]
        page.get_by_role("button", name="Add filter").click()
        page.locator("#filter-panel").get_by_role("button", name="updated").click()
        page.get_by_label("From (inclusive)").fill("2026-05-01")
        assert last_request(page, apply.click)["where"] == ["kind=guide|tool", "updated>=2026-05-01"]
        settled(page)
        expect(page.locator(".chip")).to_have_text(["kindguide or tool×", "updatedfrom 2026-05-01×"])
        remove = page.get_by_role("button", name="Remove the filter kind")
        assert last_request(page, remove.click)["where"] == ["updated>=2026-05-01"]

    def test_a_value_of_a_passage_is_one(self, page: Page, address: str) -> None:
        page.goto(f"{address}/#/builddaily/resources?q=python")
        settled(page)
        value = page.locator(".value-button").first
        text = value.inner_text()
        assert last_request(page, value.click)["where"] == [f"kind={text}"]

    def test_a_value_with_a_bar_is_sent_whole(self, page: Page, address: str) -> None:
        page.goto(f"{address}/#/builddaily/resources?q=python")
        settled(page)
        page.get_by_role("button", name="Add filter").click()
        page.locator("#filter-panel").get_by_role("button", name="kind").click()
        page.get_by_label("Find a value of kind").fill("a|b")
        page.locator(".choice", has_text="a|b").click()
        asked = last_request(page, page.get_by_role("button", name="Apply").click)
        assert asked["where"] == [{"field": "kind", "values": ["a|b"]}]
        expect(page.locator(".empty")).to_contain_text("No passage meets the filters")
        assert "where" not in last_request(page, page.get_by_role("button", name="Clear the filters").click)


class TestAsking:
    def test_a_citation_jumps_to_its_quote(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{ASK}")
        settled(page)
        expect(page.locator(".answer.done")).to_be_visible()
        cite = page.locator(".answer-text .cite").last
        number = cite.inner_text()
        cite.click()
        marked = page.locator("mark.current")
        assert set(marked.evaluate_all("all => all.map((one) => one.dataset.quote)")) == {number}
        quote = page.locator(".source .soft").nth(int(number) - 1).inner_text()
        seen = "".join(marked.all_inner_texts())
        assert "".join(seen.split()) == "".join(quote.replace("`", "").split())
        expect(marked.first).to_be_in_viewport()
        expect(page.locator(".notice", has_text="Quoted, not written")).to_be_visible()


class TestFaults:
    def test_a_problem_says_what_to_do(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}&where=colour%3Dred")
        told = page.get_by_role("alert")
        expect(told).to_contain_text("422 SettingsError")
        expect(told).to_contain_text("this collection has: kind")
        last_request(page, page.get_by_role("button", name="Remove the filter colour").click)
        settled(page)
        expect(told).to_have_count(0)

    def test_a_service_that_is_gone(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}")
        settled(page)
        page.route("**/search", lambda route: route.abort())
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
        page.unroute("**/search")
        page.get_by_role("button", name="Try again").click()
        settled(page)

    def test_what_is_degraded_is_marked(self, page: Page, address: str) -> None:
        page.goto(f"{address}/{SEARCH}")
        settled(page)
        page.get_by_role("button", name="Options").click()
        page.get_by_label("Deadline in ms").fill("0.01")
        asked = last_request(page, page.get_by_role("button", name="Apply").click)
        assert asked["deadline_ms"] == 0.01
        expect(page.locator(".notice.warn")).to_contain_text("Not reranked")
        expect(page.locator(".notice.warn")).to_contain_text("deadline")
        expect(page.locator(".passage")).to_have_count(5)

    def test_a_key_is_asked_for_and_stays_in_the_tab(
        self, page: Page, served_environment: Environment, tmp_path: Path
    ) -> None:
        keys = Keys(tmp_path / "keys.json")
        _, secret = keys.add(("sagedaily",), ("search",))
        settings = ServiceSettings(state=tmp_path, keys=keys.path)
        with listening(create_app(["sagedaily"], workspace=Workspace(served_environment), settings=settings)) as locked:
            page.goto(f"{locked}/#/sagedaily/canon?q=the+sun")
            expect(page.get_by_role("alert")).to_contain_text("401 NotAuthenticated")
            page.get_by_role("button", name="Enter an API key").click()
            page.get_by_label("API key", exact=True).fill(secret)
            page.keyboard.press("Enter")
            settled(page)
            expect(page.locator("pre.code")).to_contain_text("$OVERFETCH_KEY")
            assert secret not in page.url + page.content()
            assert page.evaluate("[Object.values(localStorage), Object.values(sessionStorage)]") == [[], [secret]]
            page.get_by_text("Ask", exact=True).click()
            page.get_by_role("button", name="Ask", exact=True).click()
            expect(page.get_by_role("alert")).to_contain_text("403 NotAllowed")
            page.goto("about:blank")


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


class TestReproducing:
    @pytest.fixture
    def shown(self, page: Page, address: str) -> dict[str, str]:
        """The forms of a search that needs quoting, as the page shows them."""
        page.goto(
            f"{address}/#/builddaily/chat?q=it%27s+%22pinned%22+%24HOME&where=kind%3Dguide&top_n=2&first_stage=dense"
        )
        settled(page)
        code = page.locator("pre.code")
        curl = code.inner_text()
        page.locator("aside").get_by_text("Python").click()
        return {"curl": curl, "Python": code.inner_text(), "titles": json.dumps(titles(page))}

    def test_as_curl(self, shown: dict[str, str]) -> None:
        if shutil.which("curl") is None:
            pytest.skip("no curl is installed")
        done = subprocess.run(["bash", "-c", f"{shown['curl']} --silent"], capture_output=True, text=True, check=True)
        assert [hit["title"] for hit in json.loads(done.stdout)["hits"]] == json.loads(shown["titles"])
        assert "pinned" in shlex.split(shown["curl"])[-1]

    def test_as_python(self, shown: dict[str, str], served_environment: Environment) -> None:
        place = {"OVERFETCH_QDRANT": served_environment.qdrant, "OVERFETCH_CACHE": str(served_environment.cache)}
        program = [sys.executable, "-c", shown["Python"]]
        done = subprocess.run(program, env={**os.environ, **place}, capture_output=True, text=True, check=True)
        printed = [line.split(" ", 2)[2] for line in done.stdout.splitlines()]
        assert printed == json.loads(shown["titles"])


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
        assert {found for found in text.split('"') if found.startswith(("http:", "https:", "//"))} <= others
