"""The image and its place in shared/compose.yaml: what can be held without Docker."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from readiness_server import answering

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "packages/overfetch-serve/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
SERVICE = yaml.safe_load((ROOT / "shared/compose.yaml").read_text(encoding="utf-8"))["services"]["overfetch"]
HEAVY = {"torch", "transformers", "sentence-transformers", "onnx", "dspy", "litellm", "pytest"}


def last(instruction: str) -> str:
    found: list[str] = re.findall(rf"^ *{instruction} +(.*)$", DOCKERFILE, re.MULTILINE)
    return found[-1].strip()


@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv on the path")
def test_it_installs_what_the_lock_says_and_nothing_heavy() -> None:
    extras = last("ARG").partition("=")[2].strip('"')
    command = shlex.split(last("RUN uv").replace("$EXTRAS", extras))
    assert "--locked" in command
    export = [part for part in command if part not in ("sync", "--no-editable")]
    known = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    told = subprocess.run(
        ["uv", "export", "-q", "--no-hashes", "--no-annotate", *export],
        cwd=ROOT,
        env=known,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    installed = {re.split(r"[=@;\[ ]", line)[0] for line in told.stdout.splitlines()}
    assert {"fastapi", "uvicorn", "onnxruntime", "qdrant-client"} <= installed
    assert HEAVY.isdisjoint(installed)


def test_it_runs_as_a_user_without_rights_who_owns_the_data() -> None:
    user = last("USER")
    assert user.isdigit()
    assert int(user) > 0
    assert f"install -d -o {user}" in last("RUN")
    assert last("VOLUME") == "/data"
    variables = dict(part.split("=", 1) for part in shlex.split(last("ENV")))
    assert {value for name, value in variables.items() if name != "PATH"} == {"/data", "/data/cache", "/data/keys.json"}


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_tells_a_ready_service(status: int | None, healthy: bool) -> None:
    with answering(status) as port:
        program, *arguments = json.loads(last(r"HEALTHCHECK .*? CMD").replace("8000", str(port)))
        assert program == "python"
        checked = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, timeout=20)
    assert (checked.returncode == 0) == healthy


def test_the_composed_service_writes_nowhere_but_to_its_volume() -> None:
    assert (ROOT / "shared" / SERVICE["build"]["context"] / SERVICE["build"]["dockerfile"]).is_file()
    assert SERVICE["read_only"]
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["volumes"] == ["overfetch:/data"]
    assert SERVICE["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVICE["depends_on"]["qdrant"]["condition"] == "service_healthy"
