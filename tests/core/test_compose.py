"""shared/compose.yaml: what can be held without Docker. Its health check runs here as it stands."""

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from readiness_server import answering

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "shared" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = {name: one for name, one in COMPOSE["services"].items() if "image" in one}
NODES = ["qdrant-1", "qdrant-2", "qdrant-3"]
ready = pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])


def test_one_node_or_a_cluster_of_three() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert profiles == {"qdrant": ["node", "serve"]} | {name: ["cluster"] for name in NODES}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_node_is_pinned_locked_and_kept(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+", service["image"])
    assert service["image"].split(":v")[1].split(".")[:2] == version("qdrant-client").split(".")[:2]
    assert service["environment"]["QDRANT__SERVICE__API_KEY"].startswith("${OVERFETCH_QDRANT_API_KEY:?")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    (volume,) = service["volumes"]
    assert volume.partition(":")[2] == "/qdrant/storage"


def test_nodes_share_no_port_and_no_volume() -> None:
    for names in (["qdrant"], NODES):
        ports = [port for name in names for port in SERVICES[name]["ports"]]
        assert len(set(ports)) == len(ports)
    volumes = [service["volumes"][0].partition(":")[0] for service in SERVICES.values()]
    assert sorted([*volumes, "overfetch"]) == sorted(COMPOSE["volumes"])


def test_the_second_and_third_join_the_first() -> None:
    for name in NODES:
        command = SERVICES[name]["command"]
        assert command[command.index("--uri") + 1] == f"http://{name}:6335"
        assert ("--bootstrap" in command) == (name != "qdrant-1")
        assert SERVICES[name]["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"


@ready
def test_the_health_check_tells_a_ready_node(status: int | None, healthy: bool) -> None:
    with answering(status) as port:
        program, *arguments = SERVICES["qdrant"]["healthcheck"]["test"][1:]
        checked = subprocess.run(
            [program, *(argument.replace("6333", str(port)) for argument in arguments)],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            check=False,
            timeout=10,
        )
    assert (checked.returncode == 0) == healthy
