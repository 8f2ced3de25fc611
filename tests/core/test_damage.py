"""What is damaged or another's is named and not served; what can be repaired is, by the command the error names."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfetch.cli.main import app
from overfetch.errors import CollectionMissing, StoreError, StoreUnavailable
from overfetch.indexing import encode
from overfetch.protocols import EncodedQuery
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.stores.edge import EdgeStore
from overfetch.stores.payloads import slug
from overfetch.stores.sealing import SEAL
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document, Passage

NAME, FOLDER = "sagedaily/canon", "sagedaily--canon"
OTHER = "acme/notes"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"  # where OVERFETCH_QDRANT points


@pytest.fixture
def store(root: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore(root)
    yield opened
    opened.close()


def write(store: EdgeStore, text: str, *, name: str = NAME, rebuild: bool = False, count: int = 6) -> None:
    documents = [Document(id=f"n{n}", title="Note", text=f"{text} edition {n}") for n in range(count)]
    passages = [Passage.of(d, 0, Chunk(breadcrumb="", text=d.text)) for d in documents]
    with store.write(name, Provenance.of(FakeEmbedder().spec, "note/1", "notes"), {}, rebuild=rebuild) as writer:
        writer.upsert(encode(passages, FakeEmbedder()))


def texts(store: EdgeStore, name: str = NAME) -> set[str]:
    query = EncodedQuery(FakeEmbedder().embed_queries(["edition"])[0], embed_sparse_query("edition"))
    found = store.search(name, query, [], RetrievalSettings(top_k=100)).candidates
    return {candidate.passage.text.partition(" ")[0] for candidate in found}


def file_of(root: Path, pattern: str, generation: str = "000001") -> Path:
    return next((root / FOLDER / "generations" / generation / "shard").rglob(pattern))


def flip(path: Path, word: bytes, other: bytes) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(word)
    content[at : at + len(word)] = other
    path.write_bytes(content)


class TestFiles:
    def test_what_is_as_published_is_told(self, store: EdgeStore) -> None:
        write(store, "apple")
        write(store, "pear", rebuild=True)
        texts(store)
        assert [(v.name, v.problem, v.sealed) for v in store.verify(NAME)] == [
            ("000002", None, True),
            ("000001", None, True),
        ]

    @pytest.mark.parametrize("pattern", ["page_0.dat", "chunk_0.mmap", "mutable_id_tracker.versions"])
    def test_one_bit_is_found(self, store: EdgeStore, root: Path, pattern: str) -> None:
        write(store, "apple")
        path = file_of(root, pattern)
        content = bytearray(path.read_bytes())
        place = next(i for i, byte in enumerate(content) if byte)
        content[place] ^= 1
        path.write_bytes(content)
        (found,) = store.verify(NAME)
        assert found.problem is not None
        assert f"{path.name} is damaged" in found.problem

    def test_a_missing_file_is_found(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        file_of(root, "page_0.dat").unlink()
        assert "is missing" in str(store.verify(NAME)[0].problem)

    def test_a_generation_of_an_earlier_version_has_no_sums(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        (root / FOLDER / "generations/000001" / SEAL).unlink()
        pointer = root / FOLDER / "CURRENT"
        pointer.write_text("\n".join(pointer.read_text().split()[:3]) + "\n")
        assert texts(store) == {"apple"}
        assert [(v.problem, v.sealed) for v in store.verify(NAME)] == [(None, False)]

    def test_lost_passages_are_not_a_shorter_answer(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple", count=40)
        path = file_of(root, "mutable_id_tracker.mappings")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(StoreError, match="sagedaily/canon") as raised:
            texts(store)
        assert "overfetch index sagedaily/canon --rebuild" in str(raised.value)

    def test_a_provenance_of_garbage(self, store: EdgeStore, root: Path) -> None:
        for garbage in (b"", b"\xff\xfe", b"[]", b"7", b"{}"):
            write(store, "apple", rebuild=True)
            path = next((root / FOLDER / "generations").glob(f"{store.generations(NAME)[0].name}/provenance.json"))
            path.write_bytes(garbage)
            with pytest.raises(StoreError):
                store.provenance(NAME)


POINTERS = [
    *(b"", b"\n", b"\xff\xfe\x00", b"live", b"1", b"000001\n-\n", b"000001\n-\n000001\n-\nmore", b"-\n-\n000001\n"),
    *(b"../../acme--notes/generations/000001", b"000001/../000001\n-\n000001", b"/tmp\n-\n000001\n"),
    *(b"000002\n-\n000001\n", b"\xd9\xa0" * 6, b"000001\n-\n000001\nshort\n"),
]


class TestPointers:
    @pytest.mark.parametrize("content", POINTERS)
    def test_what_is_no_pointer_is_refused_and_a_rebuild_repairs_it(
        self, store: EdgeStore, root: Path, content: bytes
    ) -> None:
        write(store, "apple")
        write(store, "secret", name=OTHER)
        (root / FOLDER / "CURRENT").write_bytes(content)
        for work in (texts, lambda s: s.provenance(NAME), lambda s: s.generations(NAME), lambda s: s.prune(NAME)):
            with pytest.raises(StoreError, match=r"CURRENT is damaged: it says b.*overfetch index"):
                work(store)
        assert (root / FOLDER / "generations/000001").is_dir()
        write(store, "pear", rebuild=True)
        assert texts(store) == {"pear"}
        assert store.rollback(NAME).name == "000001"
        assert texts(store) == {"apple"}

    def test_a_generation_that_is_gone_takes_no_other_with_it(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        write(store, "pear", rebuild=True)
        shutil.rmtree(root / FOLDER / "generations/000002")
        for work in (texts, lambda s: s.provenance(NAME), lambda s: s.prune(NAME)):
            with pytest.raises(StoreError, match="names generation 000002, which is missing"):
                work(store)
        assert (root / FOLDER / "generations/000001").is_dir()
        store.rollback(NAME)
        assert texts(store) == {"apple"}

    def test_a_rebuild_takes_the_place_of_one_that_is_gone(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        shutil.rmtree(root / FOLDER / "generations/000001")
        write(store, "pear", rebuild=True)
        assert texts(store) == {"pear"}


class TestWhose:
    def test_no_two_names_share_a_folder(self) -> None:
        names = ["acme--eu/notes", "acme/eu--notes", "acme-/notes", "acme/notes", "acme-eu/notes", "acme_/n--"]
        assert len({slug(name) for name in names}) == len(names)
        assert slug("acme/notes") == "acme--notes"  # as stores have it that were kept

    def test_one_site_does_not_read_the_other(self, store: EdgeStore) -> None:
        write(store, "apple", name="acme--eu/notes")
        with pytest.raises(StoreError, match="is not indexed yet"):
            texts(store, "acme/eu--notes")

    def test_a_folder_copied_from_another_collection_is_not_served(self, store: EdgeStore, root: Path) -> None:
        write(store, "secret", name=OTHER)
        shutil.copytree(root / slug(OTHER), root / FOLDER)
        for work in (texts, lambda s: s.provenance(NAME), lambda s: s.count(NAME)):
            with pytest.raises(StoreError, match="belongs to 'acme/notes', not to 'sagedaily/canon'"):
                work(store)

    def test_another_generation_under_the_same_name_is_not_served(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        other = EdgeStore(root.parent / "elsewhere")
        write(other, "pear")
        generation = root / FOLDER / "generations/000001"
        shutil.rmtree(generation)
        shutil.copytree(other.root / FOLDER / "generations/000001", generation)
        with pytest.raises(StoreError, match="is not the generation that was published"):
            texts(store)

    def test_an_open_reader_sees_that_everything_was_made_anew(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        assert texts(store) == {"apple"}
        shutil.rmtree(root)
        writer = EdgeStore(root)
        write(writer, "pear", count=3)
        assert texts(store) == {"pear"}
        assert store.count(NAME) == store.provenance(NAME).passages == 3

    @pytest.mark.parametrize("moved", ["", FOLDER])
    def test_what_was_moved_away_is_not_what_was_never_indexed(
        self, store: EdgeStore, root: Path, moved: str, tmp_path: Path
    ) -> None:
        write(store, "apple")
        assert texts(store) == {"apple"}
        (root / moved).rename(tmp_path / "elsewhere")
        for work in (texts, lambda s: s.provenance(NAME), lambda s: s.hashes(NAME), lambda s: s.generations(NAME)):
            with pytest.raises(StoreUnavailable, match=f"{root / FOLDER} is gone.*put it back"):
                work(store)
        with pytest.raises(StoreUnavailable, match="put it back"):
            write(store, "pear")
        assert not (root / FOLDER).exists()
        (tmp_path / "elsewhere").rename(root / moved)
        assert texts(store) == {"apple"}

    def test_what_another_process_deletes_is_not_there(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        assert texts(store) == {"apple"}
        EdgeStore(root).drop(NAME)
        with pytest.raises(CollectionMissing):
            texts(store)
        write(store, "pear")
        assert texts(store) == {"pear"}


class TestCommand:
    def test_it_says_that_there_is_no_store(self, root: Path) -> None:
        told = CliRunner().invoke(app, ["show", NAME, "x"])
        assert (told.exit_code, f"no store at {root}" in " ".join(told.stderr.split())) == (1, True)

    def test_it_tells_and_fails_where_something_is_damaged(self, store: EdgeStore, root: Path) -> None:
        write(store, "apple")
        run = CliRunner()
        whole = run.invoke(app, ["status", NAME, "--verify"])
        assert (whole.exit_code, "intact" in whole.stdout) == (0, True)
        flip(file_of(root, "page_0.dat"), b"n3", b"n4")
        damaged = run.invoke(app, ["status", NAME, "--verify", "--json"])
        assert damaged.exit_code == 1
        assert "is damaged" in damaged.stdout
