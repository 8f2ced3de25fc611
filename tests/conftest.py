"""Every test is offline, sees no OVERFETCH_* variable of the caller and writes to a store of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import overfetch
from overfetch import Environment, Workspace

# Read by the libraries when they are imported, which happens after this file.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LITELLM_LOCAL_MODEL_COST_MAP="True")
if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Each process its own cores: torch in two processes with a thread on every core takes several times as long.
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))

OWN_PREFIX = "OVERFETCH_TEST_"
SITES = ("builddaily", "paiddaily", "sagedaily")


@pytest.fixture(scope="session")
def session_cache(pytestconfig: pytest.Config) -> Path:
    """Prepared models, kept between runs; what pins or exports them gives the folder its name, so none goes stale."""
    package = Path(overfetch.__file__).parent
    makers = [package / "models.toml", package / "inference" / "export.py", package / "inference" / "preparing.py"]
    made_by = hashlib.sha256(b"".join(path.read_bytes() for path in makers)).hexdigest()[:12]
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir(f"overfetch-{made_by}")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Environment:
    """Every site's sample corpora, indexed once for all processes of a run, for tests that only search."""
    run, process = tmp_path_factory.getbasetemp(), os.environ.get("PYTEST_XDIST_WORKER")
    shared = run.parent if process else run
    environment = Environment(qdrant=f"file:{shared / 'samples'}", cache=session_cache, lm=None)
    for site in reversed(SITES) if process == "gw1" else SITES:  # from both ends: two processes share the work
        with FileLock(shared / f"samples-{site}.lock"):
            done = shared / f"samples-{site}.done"
            if not done.exists():
                index_samples(environment, site)
                done.touch()
    return environment


def index_samples(environment: Environment, site: str) -> None:
    with Workspace(environment) as workspace:
        engine = workspace.site(site)
        for collection in engine.site.collections:
            engine.index(collection.name)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session_cache: Path) -> None:
    """OVERFETCH_TEST_* variables choose tests and stay."""
    for name in list(os.environ):
        if name.startswith("OVERFETCH_") and not name.startswith(OWN_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OVERFETCH_QDRANT", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("OVERFETCH_TUNED", str(tmp_path / "tuned"))
    monkeypatch.setenv("OVERFETCH_CACHE", str(session_cache))


@pytest.fixture
def install_site(tmp_path: Path) -> Callable[[Path], dict[str, str]]:
    """Installs a site's package beside what is here; gives the variables by which programs find it and its sources."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv on the path to install a site")

    def install(package: Path) -> dict[str, str]:
        target = tmp_path / "installed"
        options = ["-q", "--offline", "--no-deps", "--no-sources", "--python", sys.executable, "--target", str(target)]
        subprocess.run(["uv", "pip", "install", *options, str(package)], check=True)
        return {"PYTHONPATH": os.pathsep.join([str(package / "src"), str(target)])}

    return install
