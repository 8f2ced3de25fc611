"""Overfetch as a service. `create_app` makes a FastAPI application, to run or to mount into another."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overfetch_serve.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """The command line imports this package for its commands' names: FastAPI is loaded where it serves."""
    if name != "create_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from overfetch_serve.app import create_app

    return create_app
