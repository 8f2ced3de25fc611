"""Documents over HTTP: put, removed and indexed in the background, by those who may."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from overfetch import Environment, Workspace
from overfetch.indexing import IndexReport, Progress
from overfetch_serve import create_app
from overfetch_serve import jobs as background
from overfetch_serve.jobs import Job, Jobs
from overfetch_serve.keys import Keys
from overfetch_serve.settings import ServiceSettings

PAGES = "/v1/pages/pages"
TIDES = {"id": "tides", "title": "Tides", "text": "Spring tides come with the full moon."}
REPORT = IndexReport(
    collection="pages/pages",
    documents=1,
    added=1,
    changed=0,
    removed=0,
    kept=0,
    moved=0,
    embedded=1,
    truncated_tokens=0,
)
KILLED = """
import sys, time
from pathlib import Path
from overfetch_serve.jobs import Jobs
print(Jobs(Path(sys.argv[1])).start("index", "pages", "pages", lambda progress: time.sleep(60)).id, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "disk" / "pages"
    folder.mkdir(parents=True)
    (folder / "lamp.md").write_text("# Lamp\n\nThe lamp burns oil.\n")
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def secret(keys: Keys) -> str:
    """Of who may write these pages."""
    return keys.add(("pages",), ("search", "admin"))[1]


@pytest.fixture
def served(folder: Path, keys: Keys, secret: str, tmp_path: Path, session_cache: Path) -> Iterator[TestClient]:
    """Of a folder that is indexed, in a store of its own; no model is loaded before it is used."""
    environment = Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None)
    settings = ServiceSettings(state=tmp_path / "state", keys=keys.path)
    app = create_app([str(folder), "sagedaily"], workspace=Workspace(environment), settings=settings)
    client = TestClient(app, headers={"X-API-Key": secret})
    assert ended(client, client.post(f"{PAGES}/index"))["state"] == "done"
    yield client
    app.state.service.close()


def ended(client: TestClient, accepted: httpx2.Response) -> dict[str, Any]:
    """The job, once it has."""
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["Location"] == f"/v1/jobs/{accepted.json()['id']}"
    for _ in range(1_200):
        job: dict[str, Any] = client.get(accepted.headers["Location"]).json()
        if job["ended"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"it never ended: {job}")


def titles(client: TestClient, query: str) -> list[str]:
    found = client.post(f"{PAGES}/search", json={"query": query, "rerank": False})
    return [hit["title"] for hit in found.json()["hits"]]


def text_of(client: TestClient, document: str) -> str | None:
    found = client.get(f"{PAGES}/documents/{document}")
    return str(found.json()[0]["text"]) if found.status_code == 200 else None


def test_a_hundred_thousand_wrong_records_are_one_error(served: TestClient) -> None:
    began = time.process_time()
    refused = served.put(f"{PAGES}/documents", json=[7] * 100_000)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "body.0: Input should be an object (given 7)"
    assert time.process_time() - began < 10


def test_documents_are_found_as_soon_as_their_job_is_done(served: TestClient) -> None:
    assert "Tides" not in titles(served, "full moon")
    job = ended(served, served.put(f"{PAGES}/documents", json=[TIDES]))
    assert (job["kind"], job["state"], job["report"]["added"]) == ("put", "done", 1)
    assert (job["done"], job["total"]) == (1, 1)
    assert titles(served, "full moon")[0] == "Tides"
    assert text_of(served, "lamp") == "The lamp burns oil."
    changed = ended(served, served.put(f"{PAGES}/documents", json=[{**TIDES, "text": "Neap tides are low."}]))
    assert changed["report"]["changed"] == 1
    assert text_of(served, "tides") == "Neap tides are low."
    removed = ended(served, served.delete(f"{PAGES}/documents/tides"))
    assert (removed["kind"], removed["report"]["removed"]) == ("remove", 1)
    assert text_of(served, "tides") is None
    assert served.delete(f"{PAGES}/documents/tides").status_code == 404
    kinds = [job["kind"] for job in served.get("/v1/jobs").json()]
    assert kinds == ["remove", "put", "put", "index"]


def test_an_index_run_makes_it_equal_to_its_own_sources(served: TestClient, folder: Path) -> None:
    ended(served, served.put(f"{PAGES}/documents", json=[TIDES]))
    (folder / "harbour.md").write_text("# Harbour\n\nThe harbour freezes in winter.\n")
    report = ended(served, served.post(f"{PAGES}/index"))["report"]
    assert (report["added"], report["removed"], report["kept"]) == (1, 1, 1)
    assert titles(served, "freezes in winter")[0] == "Harbour"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([TIDES, {"id": "lamp", "title": "Lamp"}], "record 2: no text"),
        ([TIDES, TIDES], "record 2: duplicate document id 'tides'"),
        ([TIDES, "lamp"], "body.1"),
        ([], "body"),
    ],
)
def test_one_bad_record_is_named_and_none_is_written(served: TestClient, records: list[Any], said: str) -> None:
    refused = served.put(f"{PAGES}/documents", json=records)
    assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json")
    assert said in refused.json()["detail"]
    assert text_of(served, "tides") is None
    assert len(served.get("/v1/jobs").json()) == 1


def test_no_folder_of_the_disk_is_told(served: TestClient, folder: Path) -> None:
    shown = served.get(PAGES)
    assert shown.json()["provenance"]["source"] == "pages"
    (folder / "broken.jsonl").write_text('{"id": "star"\n')
    job = ended(served, served.post(f"{PAGES}/index"))
    assert (job["state"], job["problem"]["type"], job["problem"]["status"]) == ("failed", "CorpusError", 422)
    assert job["problem"]["detail"].startswith("broken.jsonl:1: broken JSON")
    assert str(folder.parent) not in served.get("/v1/jobs").text
    assert text_of(served, "lamp") == "The lamp burns oil."


def test_only_keys_of_the_site_with_the_scope_may_write_and_know(served: TestClient, keys: Keys) -> None:
    job = served.get("/v1/jobs").json()[0]["id"]

    def asked(secret: str) -> list[int]:
        headers = {"X-API-Key": secret}
        return [
            served.put(f"{PAGES}/documents", json=[TIDES], headers=headers).status_code,
            served.delete(f"{PAGES}/documents/lamp", headers=headers).status_code,
            served.post(f"{PAGES}/index", headers=headers).status_code,
            served.get(f"/v1/jobs/{job}", headers=headers).status_code,
        ]

    _, other = keys.add(("sagedaily",), ("search", "admin"))
    assert asked(other) == [404, 404, 404, 404]
    assert served.get("/v1/jobs", headers={"X-API-Key": other}).json() == []
    assert asked(keys.add(("pages",), ("search", "ask", "rerank"))[1]) == [403, 403, 403, 403]
    assert asked("of_nobody_secret") == [401, 401, 401, 401]
    assert text_of(served, "lamp") == "The lamp burns oil."
    not_indexed = served.put("/v1/sagedaily/canon/documents", json=[TIDES], headers={"X-API-Key": other})
    assert (not_indexed.status_code, not_indexed.json()["type"]) == (404, "CollectionMissing")


def test_a_second_writer_of_a_collection_is_refused(served: TestClient, tmp_path: Path) -> None:
    goes_on = threading.Event()

    def work(progress: Progress) -> IndexReport:
        goes_on.wait(60)
        return REPORT

    elsewhere = Jobs(tmp_path / "state")  # another worker
    first = elsewhere.start("index", "pages", "pages", work)
    refused = served.put(f"{PAGES}/documents", json=[TIDES])
    assert (refused.status_code, refused.json()["type"]) == (409, "StoreLocked")
    assert titles(served, "lamp") == ["Lamp"]
    goes_on.set()
    elsewhere.close()
    assert served.get(f"/v1/jobs/{first.id}").json()["report"]["added"] == 1
    assert ended(served, served.put(f"{PAGES}/documents", json=[TIDES]))["state"] == "done"


class TestJobs:
    @pytest.fixture
    def jobs(self, tmp_path: Path) -> Iterator[Jobs]:
        jobs = Jobs(tmp_path)
        yield jobs
        jobs.close()

    def found(self, jobs: Jobs, job: Job, state: str) -> Job:
        for _ in range(1_200):
            found = jobs.find(job.id)
            assert found is not None
            if found.state == state:
                return found
            time.sleep(0.05)
        raise AssertionError(f"it never was {state}: {found}")

    def test_progress_is_told_by_other_workers(
        self, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(background, "TOLD_EVERY_S", 0.0)
        reached, goes_on = threading.Event(), threading.Event()

        def work(progress: Progress) -> IndexReport:
            progress(3, 10)
            reached.set()
            goes_on.wait(60)
            return REPORT

        first = jobs.start("index", "pages", "pages", work)
        second = jobs.start("index", "pages", "others", work)
        assert reached.wait(60)
        other = Jobs(tmp_path)
        told = other.find(first.id)
        assert told is not None
        assert (told.state, told.done, told.total, told.ended) == ("running", 3, 10, None)
        assert [job.state for job in other.all()] == ["waiting", "running"]
        goes_on.set()
        assert self.found(other, second, "done").report == REPORT
        jobs.close()  # a lock goes right after its job is told to be done
        assert list((tmp_path / "jobs").iterdir()) == []

    def test_a_job_whose_process_was_killed_is_interrupted(self, jobs: Jobs, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            alive = jobs.find(name)
            process.kill()
        assert alive is not None
        assert alive.state in ("waiting", "running")
        again = jobs.start("index", "pages", "pages", lambda progress: REPORT)
        gone = jobs.find(name)
        assert gone is not None
        assert (gone.state, gone.ended is None) == ("interrupted", False)
        assert self.found(jobs, again, "done").report == REPORT

    def test_one_that_many_followed_holds_up_no_writer_once_its_process_is_gone(
        self, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(background, "KEPT", 2)
        with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            for _ in range(4):
                self.found(jobs, jobs.start("index", "pages", "others", lambda progress: REPORT), "done")
            assert name in [job.id for job in jobs.all()], "it is not done, however old it is"
            process.kill()
        assert self.found(jobs, jobs.start("index", "pages", "pages", lambda progress: REPORT), "done")

    def test_a_service_that_ends_interrupts_its_jobs(self, jobs: Jobs, tmp_path: Path) -> None:
        reached = threading.Event()

        def work(progress: Progress) -> IndexReport:
            while True:
                reached.set()
                progress(1, 2)

        started = [jobs.start("index", "pages", name, work) for name in ("pages", "others")]
        assert reached.wait(60)
        jobs.close()
        found = [Jobs(tmp_path).find(job.id) for job in started]
        assert [job and job.state for job in found] == ["interrupted", "interrupted"]

    def test_what_nobody_thought_of_is_a_problem_without_its_text(self, jobs: Jobs) -> None:
        def work(progress: Progress) -> IndexReport:
            raise ZeroDivisionError("in /srv/secret")

        failed = self.found(jobs, jobs.start("index", "pages", "pages", work), "failed")
        assert failed.problem is not None
        assert (failed.problem.status, "secret" in failed.problem.detail) == (500, False)

    def test_only_the_last_ones_are_kept(self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(background, "KEPT", 3)
        started = []
        for _ in range(5):
            started.append(jobs.start("index", "pages", "pages", lambda progress: REPORT))
            self.found(jobs, started[-1], "done")
        assert [job.id for job in jobs.all()] == [job.id for job in reversed(started[2:])]
        assert jobs.find(started[0].id) is None
