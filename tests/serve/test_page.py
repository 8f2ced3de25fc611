"""The page at `/`, in Debian's Chromium: what a person searches, asks and is told."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from browsing import ASK, QUERY, SEARCH, last_request, post, settled, titles
from listening import listening
from playwright.sync_api import Page, expect

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.keys import Keys
from overfetch_serve.settings import ServiceSettings


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
        examples = page.locator(".example")
        expect(examples).to_have_count(3)
        of_the_first = examples.first.inner_text()
        page.get_by_label("Site and collection").select_option("sagedaily/canon")
        expect(examples.first).not_to_have_text(of_the_first)
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
        page.goto(f"{address}/#/builddaily/chat")
        expect(page.locator(".example").first).to_be_visible()
        page.get_by_role("button", name="Options").click()
        page.get_by_label("Deadline in ms").fill("0.01")
        page.get_by_role("button", name="Apply").click()
        page.get_by_label("Query or question").fill("a query that no other test asked, whose scores are not known yet")
        asked = last_request(page, page.get_by_role("button", name="Search", exact=True).click)
        assert asked["deadline_ms"] == 0.01
        expect(page.locator(".notice.warn")).to_contain_text("Not reranked")
        expect(page.locator(".notice.warn")).to_contain_text("deadline")
        expect(page.locator(".passage")).to_have_count(5)

    def test_a_key_is_asked_for_and_stays_in_the_tab(self, page: Page, samples: Environment, tmp_path: Path) -> None:
        keys = Keys(tmp_path / "keys.json")
        _, secret = keys.add(("sagedaily",), ("search",))
        settings = ServiceSettings(state=tmp_path, keys=keys.path)
        with listening(create_app(["sagedaily"], workspace=Workspace(samples), settings=settings)) as locked:
            page.goto(f"{locked}/#/sagedaily/canon?q=the+sun")
            expect(page.get_by_role("alert")).to_contain_text("401 NotAuthenticated")
            page.get_by_role("button", name="Enter an API key").click()
            page.get_by_label("API key", exact=True).fill(secret)
            page.keyboard.press("Enter")
            settled(page)
            expect(page.locator("pre.code")).to_contain_text("$OVERFETCH_KEY")
            assert secret not in page.url + page.content()
            assert page.evaluate("[Object.values(localStorage), Object.values(sessionStorage)]") == [[], [secret]]
            page.get_by_role("radio", name="Ask").check()
            page.get_by_role("button", name="Ask", exact=True).click()
            expect(page.get_by_role("alert")).to_contain_text("403 NotAllowed")
            page.goto("about:blank")


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
        page.get_by_role("radio", name="Python").check()
        return {"curl": curl, "Python": code.inner_text(), "titles": json.dumps(titles(page))}

    def test_as_curl(self, shown: dict[str, str]) -> None:
        if shutil.which("curl") is None:
            pytest.skip("no curl is installed")
        done = subprocess.run(["bash", "-c", f"{shown['curl']} --silent"], capture_output=True, text=True, check=True)
        assert [hit["title"] for hit in json.loads(done.stdout)["hits"]] == json.loads(shown["titles"])
        assert "pinned" in shlex.split(shown["curl"])[-1]

    def test_as_python(self, shown: dict[str, str], samples: Environment) -> None:
        place = {"OVERFETCH_QDRANT": samples.qdrant, "OVERFETCH_CACHE": str(samples.cache)}
        program = [sys.executable, "-c", shown["Python"]]
        done = subprocess.run(program, env={**os.environ, **place}, capture_output=True, text=True, check=True)
        printed = [line.split(" ", 2)[2] for line in done.stdout.splitlines()]
        assert printed == json.loads(shown["titles"])
