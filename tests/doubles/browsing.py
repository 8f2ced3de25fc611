"""What tests of the page do with a browser."""

import json
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Page, expect

PATIENCE_MS = 30_000  # a busy machine
QUERY = "how do I pin a reranker version"
SEARCH = "#/builddaily/chat?q=how+do+I+pin+a+reranker+version"
ASK = f"{SEARCH}&mode=ask"

expect.set_options(timeout=PATIENCE_MS)


def post(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    asked = Request(f"{address}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(asked) as answered:
        found: dict[str, Any] = json.load(answered)
    return found


def last_request(page: Page, doing: Any, route: str = "/search") -> dict[str, Any]:
    """What the page sends when that is done."""
    with page.expect_request(lambda request: request.url.endswith(route)) as sent:
        doing()
    asked = sent.value.post_data_json
    assert isinstance(asked, dict)
    return asked


def titles(page: Page) -> list[str]:
    return page.locator(".passage h3").all_inner_texts()


def settled(page: Page) -> None:
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".passage").first).to_be_visible()
