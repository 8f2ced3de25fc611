"""What a newcomer waits for: a clone, an empty uv cache, the README's first command.

    uv run python tests/bench/first_minute.py [--python 3.12] [--extra eval] [--json]

Downloaded bytes are those of the wheels that the lock file names for what was installed; the workspace's own packages
are built from the clone. Seconds to the answer are those of the first command once everything is installed: nothing is
compiled, indexed or cached then. It needs git and uv on the path.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
QUESTION = ["overfetch", "ask", "builddaily", "How do I pin a reranker to one version?"]
IMPORTS = {"import builddaily": "import builddaily", "import overfetch": "from overfetch import *"}


class Timed(NamedTuple):
    """Of one command: seconds on the clock and of the processors."""

    wall_s: float
    cpu_s: float


class FirstMinute(NamedTuple):
    """Megabytes are 10^6 bytes."""

    python: str
    packages: int
    downloaded_mb: float
    environment_mb: float
    install: Timed
    first_answer: Timed
    second_answer: Timed
    imports: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.python, given.extra)
    print(json.dumps(as_json(found), indent=2) if given.json else as_text(found))


def measure(folder: Path, python: str, extras: Sequence[str]) -> FirstMinute:
    clone, environment = folder / "clone", folder / "environment"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", str(clone)], check=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OVERFETCH_", "VIRTUAL_"))}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables |= {"UV_CACHE_DIR": str(folder / "cache"), "UV_PROJECT_ENVIRONMENT": str(environment)}
    variables |= {"OVERFETCH_CACHE": str(folder / "models"), "OVERFETCH_QDRANT": f"file:{folder / 'store'}"}
    wanted = [part for extra in extras for part in ("--extra", extra)]
    install = timed(["uv", "sync", "-q", "--locked", "--python", python, *wanted], clone, variables)
    answers = [timed([str(environment / "bin" / QUESTION[0]), *QUESTION[1:]], clone, variables) for _ in range(2)]
    run = str(environment / "bin/python")
    imports = {name: timed([run, "-c", code], clone, variables).cpu_s for name, code in IMPORTS.items()}
    imports["overfetch --help"] = timed([str(environment / "bin/overfetch"), "--help"], clone, variables).cpu_s
    installed = packages_in(environment, clone, variables)
    return FirstMinute(
        python=subprocess.run([run, "-V"], capture_output=True, text=True, check=True).stdout.split()[1],
        packages=len(installed),
        downloaded_mb=sum(wheel_bytes(clone / "uv.lock", installed, python)) / 1e6,
        environment_mb=sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file()) / 1e6,
        install=install,
        first_answer=answers[0],
        second_answer=answers[1],
        imports=imports,
    )


def timed(command: Sequence[str], folder: Path, variables: dict[str, str]) -> Timed:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Timed(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def packages_in(environment: Path, folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Version by name, of what is installed there."""
    command = ["uv", "pip", "list", "-q", "--format", "json", "--python", str(environment)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return {package["name"]: package["version"] for package in json.loads(done.stdout)}


def wheel_bytes(lock: Path, installed: dict[str, str], python: str) -> list[int]:
    """The largest wheel that this interpreter and machine could take of each package: an upper bound."""
    tag, machine = f"cp{python.replace('.', '')}", os.uname().machine
    sizes = []
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        if installed.get(package["name"]) == package["version"]:
            fitting = [w for w in package.get("wheels", []) if fits(w["url"].rpartition("/")[2], tag, machine)]
            sizes.append(max((wheel["size"] for wheel in fitting), default=0))
    return sizes


def fits(wheel: str, tag: str, machine: str) -> bool:
    interpreter, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    here = platform == "any" or ("manylinux" in platform and machine in platform)
    return here and (interpreter.startswith("py") or tag in interpreter or abi == "abi3") and not abi.endswith("t")


def as_json(found: FirstMinute) -> dict[str, Any]:
    parts = found._asdict()
    return {name: part._asdict() if isinstance(part, Timed) else part for name, part in parts.items()}


def as_text(found: FirstMinute) -> str:
    imports = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.imports.items())
    return (
        f"Python {found.python}: {found.packages} packages, {found.downloaded_mb:.0f} MB downloaded, "
        f"{found.environment_mb:.0f} MB environment, installed in {found.install.wall_s:.1f} s; "
        f"first answer in {found.first_answer.wall_s:.1f} s ({found.first_answer.cpu_s:.1f} s of CPU), "
        f"second in {found.second_answer.wall_s:.1f} s ({found.second_answer.cpu_s:.1f} s); of CPU: {imports}"
    )


if __name__ == "__main__":
    main()
