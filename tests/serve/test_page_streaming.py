"""The page while an answer is written: sentence by sentence, with citations that work at once, and taken back."""

import json
from collections.abc import Iterator

import pytest
from browsing import ASK, post, settled
from language_model import Model, honest, in_chat, learning, passages, quote
from listening import listening
from playwright.sync_api import Page, expect

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.settings import ServiceSettings

# Every text that the answer had on the page, in turn.
WATCHING = """
globalThis.seen = [];
new MutationObserver(() => {
  const text = document.querySelector(".answer-text")?.textContent;
  if (text !== undefined && text !== seen.at(-1)) seen.push(text);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""


@pytest.fixture(scope="module")
def running_model() -> Iterator[Model]:
    model = Model()
    with model.running():
        yield model


@pytest.fixture
def reset_model(running_model: Model) -> Model:
    """As it is at first."""
    running_model.reply, running_model.shares = honest, {}
    return running_model


@pytest.fixture(scope="module")
def writing(samples: Environment, running_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose questions that model answers."""
    answered_by = {"lm": "openai/rules", "lm_api_base": running_model.address, "lm_retries": 0}
    workspace = Workspace(samples.model_copy(update=answered_by))
    settings = ServiceSettings(state=tmp_path_factory.mktemp("state"))
    with listening(create_app(["builddaily"], workspace=workspace, settings=settings)) as address:
        yield address


def watch(page: Page, address: str) -> list[str]:
    """What was shown of the answer until it was complete."""
    page.add_init_script(WATCHING)
    page.goto(f"{address}/{ASK}")
    expect(page.locator(".answer.done")).to_be_visible()
    settled(page)
    seen: list[str] = page.evaluate("seen")
    return seen


def test_sentences_come_one_by_one_and_their_citations_work(page: Page, writing: str, reset_model: Model) -> None:
    seen = watch(page, writing)
    assert seen[0].startswith("Reading the passages")
    first = seen.index("The first says so 1.")
    last = seen.index("The first says so 1. Then, the second says more. 2 Both do 12.")
    assert first < last
    assert last == len(seen) - 1
    for cite in page.locator(".answer-text .cite").all():
        number = cite.inner_text()
        cite.click()
        expect(page.locator("mark.current").first).to_have_attribute("data-quote", number)
        expect(page.locator("mark.current").first).to_be_in_viewport()
    expect(page.locator(".how")).to_contain_text("100% of its sentences")


def test_what_was_shown_is_taken_back(page: Page, writing: str, reset_model: Model) -> None:
    reset_model.reply = learning
    seen = watch(page, writing)
    assert any(text.startswith("So it is 1.") for text in seen)
    assert seen[-1] == "Better so 1. It says no more 1."


def test_quotes_take_the_place_of_a_model_that_fails(page: Page, writing: str, reset_model: Model) -> None:
    reset_model.reply = lambda messages: in_chat([quote(passages(messages)[0])], "It says so [1]. " * 200)
    reset_model.shares["cut"] = 1.0
    watch(page, writing)
    expect(page.locator(".answer .notice.warn")).to_contain_text("Quoted, not written")
    expect(page.locator(".answer .cite").first).to_be_visible()


def test_what_is_shown_of_an_answer_that_breaks_off_stays(page: Page, address: str) -> None:
    found = post(address, "builddaily/chat/search", {"query": "a", "include_candidates": True})
    events = [("retrieval", json.dumps(found)), ("delta", '{"text": "It is so."}')]
    body = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
    page.route("**/ask", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.goto(f"{address}/{ASK}")
    expect(page.get_by_role("alert")).to_contain_text("The answer broke off")
    expect(page.locator(".answer-text")).to_have_text("It is so.")
    page.unroute("**/ask")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer.done")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
