"""To which addresses of Qdrant servers an API key would travel unencrypted."""

import pytest

from overfetch.stores.server_connection import travels_open

SCHEMES = ("http", "https", "grpc", "grpcs")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "node.localhost",
        "127.0.0.1",
        "127.8.9.10",
        "[::1]",
        "user@localhost",
    ],
)
def test_nothing_leaves_the_machine_over_loopback(host: str) -> None:
    assert not any(travels_open(f"{scheme}://{host}:6333") for scheme in SCHEMES)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.example.com",
        "localhost.example.com",
        "notlocalhost",
        "0.0.0.0",
        "10.0.0.1",
        "128.0.0.1",
        "[::]",
        "[::2]",
        "localhost@example.com",
    ],
)
def test_elsewhere_only_tls_protects(host: str) -> None:
    assert {s for s in SCHEMES if travels_open(f"{s}://{host}:6333")} == {"http", "grpc"}
