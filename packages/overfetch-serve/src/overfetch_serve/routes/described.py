"""`/docs`: the routes that `/openapi.json` describes, on a page that reads nothing from elsewhere."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

from overfetch_serve.routes.page import ROUTES, shown

router = APIRouter(include_in_schema=False)

Described = Mapping[str, Any]


@router.get("/docs")
@router.head("/docs")
async def docs(request: Request) -> Response:
    """A row for each route: method, path, what it does, and the fields of its body."""
    document = request.app.openapi()
    told = {b"{about}": _html(document["info"]["description"]), b"{routes}": "".join(_rows(document))}
    page = ROUTES
    for place, text in told.items():
        page = page.replace(place, text.encode())
    return shown(page)


def _rows(document: Described) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            told = "".join(f"<p>{_html(part)}</p>" for part in _told(operation, document))
            yield f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{told}</td></tr>"


def _told(operation: Described, document: Described) -> Iterator[str]:
    yield from (operation.get("description") or operation["summary"]).split("\n\n")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        form = document["components"]["schemas"].get(name, {})
        needed = form.get("required", ())
        fields = [f"`{field}` (required)" if field in needed else f"`{field}`" for field in form.get("properties", ())]
        if fields:
            yield f"Body: {', '.join(fields)}."


def _html(text: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))
