"""Writing in the background: one job at a time in each worker, and of each collection one in the whole service.

Jobs are the service's, not a worker's: they stand in `jobs.sqlite` of the state folder, and any worker tells of them.
A process holds a file lock on each of its jobs, which ends with it, however that ends: a job that is not done, and
that nobody holds, was interrupted.
"""

import contextlib
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock, Timeout

from overfetch.errors import OverfetchError, StoreLocked, StoreUnavailable
from overfetch.indexing import IndexReport, Progress
from overfetch.types import Frozen
from overfetch_serve.paths import without_folders
from overfetch_serve.problems import Problem, problem
from overfetch_serve.state import open_state

log = logging.getLogger(__name__)

Kind = Literal["index", "put", "remove"]
State = Literal["waiting", "running", "done", "failed", "interrupted"]

KEPT = 200  # jobs that are told of
PATIENCE_S = 5.0  # for another worker that writes
TOLD_EVERY_S = 0.5
LINES = (
    "CREATE TABLE IF NOT EXISTS jobs "
    "(number INTEGER PRIMARY KEY, id TEXT UNIQUE, collection TEXT, active INTEGER, job TEXT)",
    "CREATE UNIQUE INDEX IF NOT EXISTS one_writer ON jobs (collection) WHERE active",
)
ADD = "INSERT INTO jobs (id, collection, active, job) VALUES (?, ?, 1, ?)"
WRITE = "UPDATE jobs SET active = ?, job = ? WHERE id = ?"
FORGET = "DELETE FROM jobs WHERE NOT active AND number <= (SELECT max(number) FROM jobs) - ?"
READ = "SELECT job FROM jobs"
LAST = f"{READ} WHERE active OR number > (SELECT max(number) FROM jobs) - ? ORDER BY number DESC"


class Work(Protocol):
    """What a job does; it tells `progress` how far it is."""

    def __call__(self, *, progress: Progress) -> IndexReport: ...


class Job(Frozen):
    """`done` of `total` passages, which is None while they are counted; then a report, or a problem."""

    id: str
    kind: Kind
    site: str
    collection: str
    state: State = "waiting"
    done: int = 0
    total: int | None = None
    report: IndexReport | None = None
    problem: Problem | None = None
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def is_active(self) -> bool:
        return self.state in ("waiting", "running")


class Left(Exception):
    """The service ends: what is not done is interrupted."""


class Jobs:
    """Safe to share between threads. Opens nothing before the first job, or question for one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="overfetch-job")
        self._leaving = threading.Event()

    def start(self, kind: Kind, site: str, collection: str, work: Work) -> Job:
        """Raises StoreLocked while another job of the collection is not done, and StoreUnavailable."""
        self.all()  # what was interrupted holds up nobody
        job = Job(id=secrets.token_hex(8), kind=kind, site=site, collection=collection, created=_now())
        held = self._lock(job.id)
        held.acquire()
        try:
            self._add(job)
            self._pool.submit(self._run, job, work, held)
        except BaseException:
            _release(held)
            raise
        return job

    def find(self, job_id: str) -> Job | None:
        """Raises StoreUnavailable."""
        return next((job for job in self._read(f"{READ} WHERE id = ?", job_id)), None)

    def all(self) -> list[Job]:
        """The last ones and those that are not done, newest first. Raises StoreUnavailable."""
        return self._read(LAST, KEPT)

    def close(self) -> None:
        """What is under way ends before its next batch; returns once it has."""
        self._leaving.set()
        self._pool.shutdown()

    def _add(self, job: Job) -> None:
        name = f"{job.site}/{job.collection}"
        with self._file() as file:
            try:
                file.execute(ADD, [job.id, name, job.model_dump_json()])
            except sqlite3.IntegrityError as error:
                raise StoreLocked(
                    f"another job writes {name}: the list of jobs says which; try again when it is done"
                ) from error
            file.execute(FORGET, [KEPT])

    def _run(self, waiting: Job, work: Work, held: FileLock) -> None:
        job = _with(waiting, state="running", started=_now())
        told = 0.0

        def progress(done: int, total: int | None) -> None:
            nonlocal job, told
            if self._leaving.is_set():
                raise Left
            job = _with(job, done=done, total=total)
            if time.monotonic() - told >= TOLD_EVERY_S:
                told = time.monotonic()
                self._write(job)

        try:
            progress(0, None)
            report = work(progress=progress)
            self._write(_with(job, state="done", report=_told(report), ended=_now()))
        except Left:
            self._write(_with(job, state="interrupted", ended=_now()))
        except Exception as error:
            self._write(_with(job, state="failed", problem=_problem(job, error), ended=_now()))
        finally:
            _release(held)

    def _write(self, job: Job) -> None:
        """Progress that cannot be told costs no work."""
        try:
            with self._file() as file:
                file.execute(WRITE, [job.is_active, job.model_dump_json(), job.id])
        except StoreUnavailable as error:
            log.warning("job %s is %s, which cannot be written: %s", job.id, job.state, error)

    def _read(self, query: str, value: str | int) -> list[Job]:
        with self._file() as file:
            return [self._as_it_is(Job.model_validate_json(row), file) for (row,) in file.execute(query, [value])]

    def _as_it_is(self, job: Job, file: sqlite3.Connection) -> Job:
        """Interrupted, where it is not done and no process holds it."""
        if not job.is_active:
            return job
        lock = self._lock(job.id)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return job
        try:
            (row,) = file.execute(f"{READ} WHERE id = ?", [job.id]).fetchone()
            found = Job.model_validate_json(row)  # it may have ended meanwhile
            if found.is_active:
                found = _with(found, state="interrupted", ended=_now())
                file.execute(WRITE, [False, found.model_dump_json(), found.id])
            return found
        finally:
            _release(lock)

    def _lock(self, job_id: str) -> FileLock:
        folder = self._folder / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{job_id}.lock", thread_local=False)

    @contextlib.contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(open_state(self._folder / "jobs.sqlite", PATIENCE_S, *LINES)) as file:
                yield file
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"jobs cannot be kept: {error}") from error


def _problem(job: Job, error: Exception) -> Problem:
    if isinstance(error, OverfetchError):
        return problem(error)
    log.error("job %s failed", job.id, exc_info=error)
    return problem(OverfetchError("the job failed; the service's log says why, under the job's id"))


def _told(report: IndexReport) -> IndexReport:
    return report.model_copy(update={"skipped": tuple(map(without_folders, report.skipped))})


def _with(job: Job, **changes: Any) -> Job:
    return job.model_copy(update=changes)


def _release(lock: FileLock) -> None:
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink()


def _now() -> datetime:
    return datetime.now(UTC)
