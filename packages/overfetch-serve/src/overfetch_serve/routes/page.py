"""The page at `/`: a handful of static files that call the routes under `/v1/`, and nothing else."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Response

from overfetch_serve.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "page"
FILES = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.is_file()}
VERSION = hashlib.sha256(b"".join(FILES.values())).hexdigest()[:16]
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
START, ROUTES = (FILES.pop(name).replace(b"{version}", VERSION.encode()) for name in ("index.html", "docs.html"))

# Scripts and styles are files of this service; nothing is read from elsewhere, and no text turns into a script.
POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@router.get("/")
@router.head("/")
async def start() -> Response:
    """The page itself, which names its files by their version."""
    return shown(START)


def shown(page: bytes) -> Response:
    """A page, which its policy keeps to this service."""
    return Response(page, media_type="text/html; charset=utf-8", headers={**HEADERS, "Cache-Control": ASK_AGAIN})


@router.get("/page/{version}/{name}")
async def file(version: str, name: str) -> Response:
    """One of the page's files. A page that was opened before an update gets the new one, but does not keep it."""
    if name not in FILES:
        raise NotFound(f"the page has no file {name!r}")
    kept = FOR_GOOD if version == VERSION else ASK_AGAIN
    return Response(FILES[name], media_type=KINDS[Path(name).suffix], headers={**HEADERS, "Cache-Control": kept})
