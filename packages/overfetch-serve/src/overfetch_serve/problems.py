"""Errors of the service's own routes: `application/problem+json` (RFC 9457), typed like `overfetch.errors`."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.constants import REF_TEMPLATE
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from overfetch.errors import OverfetchError
from overfetch.redacting import redacted
from overfetch.settings import LONGEST_READ
from overfetch_serve.errors import STATUS, NotFound, NotJson, seconds_to_wait, status_of
from overfetch_serve.paths import without_folders
from overfetch_serve.vendors.shapes import shape_of

MEDIA_TYPE = "application/problem+json"
UNKNOWN_KEY = 401
LONGEST_SHOWN = 80  # characters of what was given
MOST_SHOWN = 10  # of what is wrong with one request
# By pydantic's kind of error, which tells it in words of Python.
IN_JSON = {
    "tuple_type": "Input should be a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "Input should be an object"),
}


class Problem(BaseModel):
    """RFC 9457; `type` is the error's name in `overfetch.errors` or `overfetch_serve.errors`."""

    type: str = Field(examples=["SettingsError"])
    title: str = Field(examples=["A setting, name, filter or argument is not allowed."])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["top_n (9) cannot exceed top_k (5)"])
    request_id: str | None = None


def problem(error: OverfetchError, request_id: str | None = None) -> Problem:
    kind = type(error)
    title = (kind.__doc__ or kind.__name__).partition("\n")[0]
    detail = str(error) if isinstance(error, NotFound) else without_folders(str(error))  # which names addresses
    return Problem(type=kind.__name__, title=title, status=status_of(error), detail=detail, request_id=request_id)


def response(found: Problem, seconds: int | None = None, path: str = "") -> JSONResponse:
    """In the shape of the vendor whose `path` was asked, if it was one's."""
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    if found.status == UNKNOWN_KEY:
        headers["WWW-Authenticate"] = "Bearer"
    if shape := shape_of(path):
        status, body = shape.said(found.status, found.detail, found.request_id)
        return JSONResponse(body, status, headers=headers)
    return JSONResponse(found.model_dump(exclude_none=True), found.status, headers=headers, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description of routes: which statuses their errors may have, beside others."""
    told: dict[int | str, str] = {"default": "What went wrong (RFC 9457)."}
    for status in statuses:
        kinds = [kind for kind, its in STATUS.items() if its == status]
        told[status] = " ".join(f"`{kind.__name__}`: {(kind.__doc__ or '').partition(chr(10))[0]}" for kind in kinds)
    content = {MEDIA_TYPE: {"schema": {"$ref": REF_TEMPLATE.format(model=Problem.__name__)}}}
    return {status: {"description": description, "content": content} for status, description in told.items()}


def install(app: FastAPI) -> None:
    """Answers errors of `app` as problems."""
    app.add_exception_handler(OverfetchError, _of_overfetch)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_anything)


def path_in(scope: MutableMapping[str, Any]) -> str:
    """Of the route, wherever the application is mounted."""
    path, mounted = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(mounted)


def request_id(request: Request) -> str | None:
    """As the log has it."""
    return getattr(request.state, "request_id", None)


def refusal(error: OverfetchError, request: Request) -> JSONResponse:
    """An error as the answer to that request, wherever it is refused."""
    return response(problem(error, request_id(request)), seconds_to_wait(error), path_in(request.scope))


def _of_overfetch(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OverfetchError)
    return refusal(error, request)


def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # which nobody read, since it is not said to be JSON
        given = request.headers.get("Content-Type", "")[:LONGEST_SHOWN]
        return refusal(NotJson(f"send Content-Type: application/json (given {given!r})"), request)
    found = Problem(
        type="SettingsError",
        title="The request is not of the form that the route reads.",
        status=422,
        detail=explain_validation(error),
        request_id=request_id(request),
    )
    return response(found, path=path_in(request.scope))


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    found = Problem(
        type="HTTPError",
        title=error.detail,
        status=error.status_code,
        detail=f"{request.method} {request.url.path}: {error.detail}; the routes are listed at /openapi.json",
        request_id=request_id(request),
    )
    answer = response(found, path=path_in(request.scope))
    answer.headers.update(error.headers or {})
    return answer


def _of_anything(request: Request, _: Exception) -> JSONResponse:
    """What nobody thought of: the log says what it was."""
    found = problem(
        OverfetchError("the service failed; its log says why, under this request's id"), request_id(request)
    )
    answer = response(found, path=path_in(request.scope))
    if found.request_id:
        answer.headers["X-Request-ID"] = found.request_id  # this answer passes by what sets it elsewhere
    return answer


def explain_validation(error: RequestValidationError) -> str:
    """The first problems: where, what is wrong, what was given."""
    all_of_them = error.errors()
    more = len(all_of_them) - MOST_SHOWN
    told = "; ".join(map(_explained, all_of_them[:MOST_SHOWN]))
    return f"{told}; and {more} more" if more > 0 else told


def _explained(one: Any) -> str:
    if one["type"] == "json_invalid":
        return f"body: no JSON at character {one['loc'][-1]}: {one['ctx']['error']}"
    place = ".".join(str(part) for part in one["loc"]).encode("utf-8", "backslashreplace").decode()  # names are given
    given = redacted(repr(one.get("input"))[:LONGEST_READ])
    shown = given if len(given) <= LONGEST_SHOWN else f"{given[:LONGEST_SHOWN]}…"
    return f"{place}: {IN_JSON.get(one['type'], one['msg'])} (given {shown})"
