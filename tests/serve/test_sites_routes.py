"""What there is to ask, and who may know of it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from overfetch import Environment, SettingsError, Workspace
from overfetch_serve import create_app
from overfetch_serve.app import find_sites
from overfetch_serve.folders import folder_site
from overfetch_serve.keys import Keys
from overfetch_serve.running import index_missing
from overfetch_serve.settings import ServiceSettings


@pytest.mark.parametrize("name", ["jobs", "models"])
def test_a_site_whose_address_is_the_services_own_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    workspace = Workspace(Environment(qdrant=f"file:{tmp_path / 'store'}"))
    with pytest.raises(SettingsError, match=f"/v1/{name} is the service's own"):
        create_app([folder_site(tmp_path / name)], workspace=workspace)


def test_folders_of_one_name_are_not_one_site(tmp_path: Path) -> None:
    """Not in one service, and not one after the other in one store, as long as both are there."""
    acme, globex, moved = (tmp_path / company / "docs" for company in ("acme", "globex", "moved"))
    for folder in (acme, globex):
        folder.mkdir(parents=True)
        (folder / "page.md").write_text(f"# A page\n\nOf {folder.parent.name}.\n")
    with pytest.raises(SettingsError, match="2 sites are called 'docs'"):
        find_sites([str(acme), str(globex)], ServiceSettings(state=tmp_path))
    index_missing([folder_site(acme)])
    index_missing([folder_site(acme)])
    with pytest.raises(SettingsError, match=f"docs/pages is {acme}, which {globex} would replace"):
        index_missing([folder_site(globex)])
    moved.parent.mkdir()
    acme.rename(moved)
    index_missing([folder_site(globex)])


def test_a_folder_is_not_served_from_another_of_its_name(tmp_path: Path, session_cache: Path) -> None:
    """Mounted too, where nothing was indexed by `overfetch serve`: it would hand out what is in the other."""
    environment = Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None)
    settings = ServiceSettings(state=tmp_path / "state")
    acme, globex = (tmp_path / company / "docs" for company in ("acme", "globex"))
    for folder in (acme, globex):
        folder.mkdir(parents=True)
        (folder / "page.md").write_text(f"# A page\n\nOf {folder.parent.name}.\n")

    def app(folder: Path) -> FastAPI:
        return create_app([str(folder), "sagedaily"], workspace=Workspace(environment), settings=settings)

    own = TestClient(app(acme))
    job = own.post("/v1/docs/pages/index").json()
    while own.get(f"/v1/jobs/{job['id']}").json()["ended"] is None:
        time.sleep(0.05)
    assert "Of acme." in own.get("/v1/docs/pages/documents/page").text
    with TestClient(app(globex), client=("127.0.0.1", 50_000)) as other:
        refused = [other.post("/v1/docs/pages/search", json={"query": "a page"}), other.get("/v1/docs/pages")]
        refused += [other.get("/v1/docs/pages/documents/page"), other.post("/v1/docs/pages/index")]
        assert [(one.status_code, one.json()["type"]) for one in refused] == [(503, "StoreError")] * 4
        assert "rename one of the two folders" in refused[0].json()["detail"]
        assert "rename" in other.get("/readyz").json()["parts"]["docs"]
        assert other.get("/readyz").json()["parts"]["sagedaily"] == "ready"


def test_folders_without_a_letter_of_the_latin_script_are_told_apart() -> None:
    names = {folder_site(Path(name)).name for name in ("文档", "資料")}
    assert len(names) == 2
    assert all(name[:1].isalpha() for name in names)


@pytest.mark.parametrize("path", ["", "/values/kind", "/passages/x", "/documents/x"])
def test_a_bound_that_is_not_kept_is_refused(client: TestClient, path: str) -> None:
    answered = client.get(f"/v1/sagedaily/canon{path}?as_of=2022-01-01")
    assert (answered.status_code, answered.json()["type"]) == (422, "SettingsError")
    assert "given 'as_of'" in answered.json()["detail"]


def test_sites_and_collections_are_listed(client: TestClient) -> None:
    names = {site["name"]: site["collections"] for site in client.get("/v1/sites").json()}
    assert names == {"builddaily": ["resources", "chat"], "sagedaily": ["canon"]}
    shown = client.get("/v1/sagedaily/canon").json()
    assert shown["passages"] > 0
    assert shown["provenance"]["embedder"]
    assert shown["filters"]


def test_passages_and_documents_are_shown(client: TestClient) -> None:
    hit = client.post("/v1/sagedaily/canon/search", json={"query": "the tower"}).json()["hits"][0]
    passage = client.get(f"/v1/sagedaily/canon/passages/{hit['passage_id']}").json()
    assert passage["text"] == hit["text"]
    document = client.get(f"/v1/sagedaily/canon/documents/{hit['document_id']}").json()
    assert hit["passage_id"] in [p["id"] for p in document]
    for missing in ("passages/nothing", "documents/nothing"):
        assert client.get(f"/v1/sagedaily/canon/{missing}").status_code == 404


class TestKeys:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> Keys:
        return Keys(tmp_path / "keys.json")

    def test_a_key_knows_only_its_sites_and_scopes(self, opened: Callable[..., FastAPI], keys: Keys) -> None:
        _, secret = keys.add(("sagedaily",), ("search",))
        headers = {"Authorization": f"Bearer {secret}"}
        with TestClient(opened(keys=keys.path)) as client:
            assert client.get("/v1/sites").status_code == 401
            assert [site["name"] for site in client.get("/v1/sites", headers=headers).json()] == ["sagedaily"]
            assert client.post("/v1/sagedaily/canon/search", json={"query": "sun"}, headers=headers).status_code == 200
            assert client.post("/v1/sagedaily/canon/ask", json={"question": "sun"}, headers=headers).status_code == 403
            other = client.post("/v1/builddaily/chat/search", json={"query": "sun"}, headers=headers)
            unknown = client.post("/v1/nosite/chat/search", json={"query": "sun"}, headers=headers)
            assert other.status_code == unknown.status_code == 404
            assert other.json()["detail"].replace("builddaily", "nosite") == unknown.json()["detail"]

    def test_a_key_is_revoked_without_a_restart(self, opened: Callable[..., FastAPI], keys: Keys) -> None:
        key, secret = keys.add(("*",), ("search",))
        with TestClient(opened(keys=keys.path), headers={"X-API-Key": secret}) as client:
            assert client.get("/v1/sites").status_code == 200
            keys.revoke(key.id)
            assert client.get("/v1/sites").status_code == 401

    def test_the_file_holds_no_secret(self, keys: Keys) -> None:
        _, secret = keys.add(("*",), ("search",))
        assert secret.rpartition("_")[2] not in keys.path.read_text()
        assert keys.path.stat().st_mode & 0o077 == 0
