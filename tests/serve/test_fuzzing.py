"""A small slice of `tests/bench/serving_fuzz.py`: hostile requests at a service with two keys and two sites."""

from pathlib import Path

from listening import listening
from serving_fuzz import OTHER, OWN, Target, fuzz, make_sites

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.folders import COLLECTION, folder_site
from overfetch_serve.running import server_options
from overfetch_serve.settings import ServiceSettings

REQUESTS = 300


def test_nothing_fails_and_nothing_of_another_keys_site_is_read(session_cache: Path, tmp_path: Path) -> None:
    key, others_key = make_sites(tmp_path)
    sites = [folder_site(tmp_path / name) for name in (OWN, OTHER)]
    workspace = Workspace(Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None))
    for site in sites:
        workspace.site(site).index(COLLECTION)
    settings = ServiceSettings(state=tmp_path, keys=tmp_path / "keys.json", body_timeout_s=0.5)
    app = create_app(sites, workspace=workspace, settings=settings)
    with listening(app, **server_options(settings)) as address:
        found = fuzz(Target(address, key, others_key), REQUESTS)
    assert found.faults == []
    assert found.leaks == []
    assert found.statuses["200"] > 30, "what is allowed is answered"
    assert found.statuses["404"] > 30, "what is another's is not found"
