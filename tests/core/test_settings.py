"""Settings are checked when made; errors name the field or the variable, what was given and what is allowed."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from overfetch.backends import open_store
from overfetch.environment import Environment, ServerSettings, read_environment
from overfetch.errors import SettingsError
from overfetch.evaluation.collections import open_test_collection
from overfetch.filters import AnyOf
from overfetch.models import ModelSpec, find_profile, read_models
from overfetch.provenance import join_sources
from overfetch.requests import AskRequest, SearchRequest
from overfetch.settings import RetrievalSettings, explain
from overfetch.workspace import open_site

# Commits checked by hand in public code, apart from models.toml on purpose.
COMMITS = {
    "Alibaba-NLP/gte-modernbert-base": "e7f32e3c00f91d699e8c43b53106206bcc72bb22",
    "BAAI/bge-reranker-base": "2cfc18c9415c912f9d8155881c133215df768a70",
    "BAAI/bge-reranker-large": "55611d7bca2a7133960a6d3b71e083071bbfc312",
    "BAAI/bge-reranker-v2-m3": "953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e",
    "BAAI/bge-small-en-v1.5": "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
    "MongoDB/mdbr-leaf-ir": "4262131b32c3182bd06e67e92ae69d7bd66e0c5c",
    "cross-encoder/ettin-reranker-17m-v1": "9e4aa35321a6dd1a43ca313f500c4b4f7cfb5cc6",
    "cross-encoder/ettin-reranker-32m-v1": "b33e5ceb5110773ea9cf5e00c9bedc83a8c2afdd",
    "cross-encoder/ettin-reranker-68m-v1": "d166fa88ddde3c42bc3ee92f7df476d941c8204a",
    "cross-encoder/ms-marco-MiniLM-L6-v2": "c5ee24cb16019beea0893ab7796b1df96625c6b8",
    "nomic-ai/nomic-embed-text-v1.5": "e5cf08aadaa33385f5990def41f7a23405aec398",
}
ORIGINAL = "sentence-transformers/all-MiniLM-L6-v2@1110a243fdf4706b3f48f1d95db1a4f5529b4d41#fp32"
LICENCES = {"MIT", "Apache-2.0"}
MODELS, PROFILES = read_models()


def test_defaults_are_retrieve_20_read_20_keep_5() -> None:
    settings = RetrievalSettings()
    assert (settings.top_k, settings.top_n, settings.first_stage, settings.rerank) == (20, 5, "hybrid", True)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"top_k": 0}, "top_k: Input should be greater than 0 (given 0)"),
        ({"top_k": -1}, "top_k: Input should be greater than 0 (given -1)"),
        ({"top_n": 0}, "top_n: Input should be greater than 0 (given 0)"),
        ({"top_n": 21}, "top_n (21) cannot exceed top_k (20)"),
        ({"top_k": 4}, "top_n (5) cannot exceed top_k (4)"),
        ({"top_k": 2.5}, "top_k: "),
        ({"top_k": "many"}, "(given 'many')"),
        ({"deadline_ms": 0}, "deadline_ms: Input should be greater than 0 (given 0)"),
        ({"deadline_ms": float("nan")}, "deadline_ms: "),
        ({"prefetch": 0}, "prefetch: "),
        ({"rrf_k": -60}, "rrf_k: "),
        ({"first_stage": "sparse"}, "first_stage: Input should be 'hybrid', 'dense' or 'bm25' (given 'sparse')"),
        ({"top": 5}, "top: Extra inputs are not permitted (given 5)"),
    ],
)
def test_nonsense_is_refused_in_one_line(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)) as refused:
        RetrievalSettings().override(**changes)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValidationError):
        RetrievalSettings.model_validate(changes)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        RetrievalSettings.model_validate({"top_k": 0, "top_n": -1})
    assert explain(refused.value).count("; ") == 1


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        RetrievalSettings().top_k = 3


def test_override_keeps_what_is_false_and_drops_what_is_none() -> None:
    settings = RetrievalSettings(one_per_document=True, deadline_ms=500)
    changed = settings.override(rerank=False, one_per_document=False, top_k=None, deadline_ms=None)
    assert changed == RetrievalSettings(rerank=False, one_per_document=False, deadline_ms=500)
    assert settings.rerank


def test_override_checks_the_whole_again() -> None:
    assert RetrievalSettings().override(top_k=50, top_n=30).top_n == 30
    with pytest.raises(SettingsError, match="cannot exceed"):
        RetrievalSettings(top_k=50, top_n=30).override(top_k=20)


def test_environment_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERFETCH_QDRANT")
    monkeypatch.delenv("OVERFETCH_CACHE")
    environment = read_environment()
    assert (environment.profile, environment.lm, environment.threads) == ("mini", None, 0)
    assert environment.store_address.startswith("file:/")
    assert environment.cache.is_absolute()


def test_environment_reads_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"PROFILE": "bge", "QDRANT": "http://db:6333", "CACHE": "/models", "THREADS": "3", "LM_TIMEOUT_S": "1.5"}
    for name, value in values.items():
        monkeypatch.setenv(f"OVERFETCH_{name}", value)
    environment = read_environment()
    assert environment.store_address == "http://db:6333"
    assert (environment.profile, environment.cache, environment.threads) == ("bge", Path("/models"), 3)
    assert environment.lm_timeout_s == 1.5


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_PROFILE", "")
    monkeypatch.setenv("OVERFETCH_THREADS", "")
    assert (read_environment().profile, read_environment().threads) == ("mini", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("THREADS", "many"), ("THREADS", "-1"), ("LM_TIMEOUT_S", "0"), ("LM_TIMEOUT_S", "soon")],
)
def test_a_bad_variable_is_named_with_its_value(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"OVERFETCH_{name}", value)
    with pytest.raises(SettingsError, match=f"OVERFETCH_{name}: Input should be .*given '{value}'"):
        read_environment()


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_QDRANT_API_KEY", "secret-1")
    monkeypatch.setenv("OVERFETCH_LM_API_KEY", "secret-2")
    environment = read_environment()
    assert environment.server.api_key == "secret-1"
    assert "secret" not in f"{environment!r} {environment}"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OVERFETCH_RERANK", "OVERFETCH_RERANK_URL"),
        ("OVERFETCH_EMBED", "OVERFETCH_EMBED_URL"),
        ("OVERFETCH_SERVER", "OVERFETCH_"),
        ("OVERFETCH_QDRNAT", "OVERFETCH_QDRANT"),
        ("OVERFETCH_LM_APIBASE", "OVERFETCH_LM_API_BASE"),
    ],
)
def test_a_variable_that_there_is_not_names_the_nearest(name: str, near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "off")
    with pytest.raises(SettingsError, match=f"Overfetch has no variable {name}; did you mean .*{near}"):
        read_environment()
    monkeypatch.setenv(name, "")
    assert read_environment().profile == "mini"


@pytest.mark.parametrize("name", ["TEST_ANYTHING", "SERVICE_HOST", "QDRANT_PORT", "QDRANT_PORT_6333_TCP_ADDR"])
def test_variables_of_tests_and_of_container_services_are_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OVERFETCH_{name}", "tcp://10.0.0.1:6333")
    assert read_environment().profile == "mini"


@pytest.mark.parametrize(
    "name", ["THREADS", "LM_TIMEOUT_S", "LM_RETRIES", "RERANK_TIMEOUT_S", "QDRANT_TIMEOUT_S", "QDRANT_RETRIES"]
)
def test_numbers_are_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_QDRANT", SERVER)
    monkeypatch.setenv("OVERFETCH_RERANK_URL", "http://host/rerank")
    for number in (str(10**20), str(2**62)):
        monkeypatch.setenv(f"OVERFETCH_{name}", number)
        with pytest.raises(SettingsError, match=f"OVERFETCH_{name}: Input should be less than or equal to"):
            read_environment()


@pytest.mark.parametrize("number", [10**20, 2**62])
def test_nobody_reads_that_many_passages(number: int) -> None:
    for name in ("top_k", "top_n", "prefetch", "rrf_k"):
        given: dict[str, Any] = {name: number}
        with pytest.raises(SettingsError, match=f"{name}: Input should be less than or equal to"):
            SearchRequest.of("query", **given)
        with pytest.raises(SettingsError, match=f"{name}: Input should be less than or equal to"):
            RetrievalSettings().override(**given)


def test_one_condition_turn_or_part_is_given_in_a_list() -> None:
    alone = AnyOf(field="kind", values=("a",))
    wrong: list[tuple[str, Any]] = [("where", "kind=a"), ("where", alone), ("parts", "a"), ("history", "a")]
    for name, given in wrong:
        with pytest.raises(SettingsError, match=f"{name}: give a list of .*, also of a single one .given"):
            AskRequest.of("why", **{name: given})


@pytest.mark.parametrize("text", ["\udcff\udcfe tower", "\ud800"])
def test_what_is_no_text_is_refused_in_one_clear_line(text: str) -> None:
    for name in ("as_of", "near"):
        given: dict[str, Any] = {name: text}
        with pytest.raises(SettingsError, match=f"{name}: .* is no valid text; is it UTF-8"):
            SearchRequest.of("query", **given)
    for refused in (
        lambda: SearchRequest.of(text),
        lambda: SearchRequest.of("query", where=[f"kind={text}"]),
        lambda: AskRequest.of(text),
        lambda: AskRequest.of("why", parts=["a", text]),
        lambda: AskRequest.of("why", history=[text]),
        lambda: join_sources([Path(text)]),
    ):
        with pytest.raises(SettingsError, match="UTF-8"):
            refused()


SERVER = "http://db:6333"
NEEDS_SERVER = "only a server has this, and OVERFETCH_QDRANT is"


class TestServerSettings:
    @staticmethod
    def read(monkeypatch: pytest.MonkeyPatch, address: str, **values: str) -> Environment:
        for name, value in {"": address, **{f"_{name}": value for name, value in values.items()}}.items():
            monkeypatch.setenv(f"OVERFETCH_QDRANT{name}", value)
        return read_environment()

    def test_every_variable_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = {
            **{"API_KEY": "k", "TLS_CA": "/etc/ca.pem", "TIMEOUT_S": "30", "RETRIES": "0", "UPLOAD_BATCH": "16"},
            **{"UPLOAD_THREADS": "8", "SHARDS": "6", "REPLICAS": "3", "WRITE_CONSISTENCY": "2"},
            **{"QUANTISATION": "binary", "OVERSAMPLING": "3", "ON_DISK_VECTORS": "true", "ON_DISK_PAYLOAD": "false"},
        }
        assert {name.lower() for name in values} == set(ServerSettings.model_fields)
        read = self.read(monkeypatch, "https://db:6333", **values).server.model_dump(mode="json")
        assert {name: str(value).lower() for name, value in read.items()} == {
            name.lower(): value if name != "OVERSAMPLING" else "3.0" for name, value in values.items()
        }

    @pytest.mark.parametrize(
        ("address", "values", "named"),
        [
            (SERVER, {"SHARDS": "0"}, "OVERFETCH_QDRANT_SHARDS: Input should be greater than 0 (given '0')"),
            (SERVER, {"RETRIES": "-1"}, "OVERFETCH_QDRANT_RETRIES: Input should be greater than or equal to 0"),
            (SERVER, {"TIMEOUT_S": "soon"}, "OVERFETCH_QDRANT_TIMEOUT_S: Input should be a valid integer"),
            (SERVER, {"QUANTISATION": "int4"}, "OVERFETCH_QDRANT_QUANTISATION: Input should be 'int8' or 'binary'"),
            (SERVER, {"OVERSAMPLING": "2"}, "OVERFETCH_QDRANT_OVERSAMPLING needs OVERFETCH_QDRANT_QUANTISATION"),
            (
                SERVER,
                {"REPLICAS": "2", "WRITE_CONSISTENCY": "3"},
                "OVERFETCH_QDRANT_WRITE_CONSISTENCY (3) cannot exceed OVERFETCH_QDRANT_REPLICAS (2)",
            ),
            (SERVER, {"WRITE_CONSISTENCY": "2"}, "(2) cannot exceed OVERFETCH_QDRANT_REPLICAS (1)"),
            (SERVER, {"TLS_CA": "ca.pem"}, f"OVERFETCH_QDRANT_TLS_CA needs TLS, and OVERFETCH_QDRANT is '{SERVER}'"),
            ("grpc://db", {"TLS_CA": "ca.pem"}, "OVERFETCH_QDRANT_TLS_CA needs TLS"),
            ("file:/data", {"REPLICAS": "2"}, f"OVERFETCH_QDRANT_REPLICAS: {NEEDS_SERVER} 'file:/data'; set it to"),
            (":memory:", {"TIMEOUT_S": "5"}, f"OVERFETCH_QDRANT_TIMEOUT_S: {NEEDS_SERVER} ':memory:'"),
            ("", {"SHARDS": "2", "RETRIES": "9"}, "OVERFETCH_QDRANT_RETRIES, OVERFETCH_QDRANT_SHARDS: only a server"),
        ],
    )
    def test_nonsense_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch, address: str, values: dict[str, str], named: str
    ) -> None:
        with pytest.raises(SettingsError, match=re.escape(named)) as refused:
            self.read(monkeypatch, address, **values)
        assert "\n" not in str(refused.value)

    def test_a_key_alone_may_stay_where_no_server_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.read(monkeypatch, "file:/data", API_KEY="k").store_address == "file:/data"

    def test_an_evaluation_of_a_folder_needs_no_server(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.read(monkeypatch, SERVER, SHARDS="2")
        (tmp_path / "qrels").mkdir()
        (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n", encoding="utf-8")
        (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "alpha"}\n', encoding="utf-8")
        (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "title": "A", "text": "alpha"}\n', encoding="utf-8")
        with open_test_collection(tmp_path) as engine:
            assert type(engine.store).__name__ == "EdgeStore"


@pytest.mark.parametrize("address", ["qdrant.db:6333", "/var/qdrant", "ftp://db", "memory"])
def test_an_unknown_kind_of_store_names_the_allowed_ones(address: str) -> None:
    with pytest.raises(SettingsError, match=f"OVERFETCH_QDRANT is '{address}'; allowed: file:PATH, :memory:, http"):
        open_store(Environment(qdrant=address))


def test_opening_a_site_with_an_unknown_profile_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_PROFILE", "huge")
    with pytest.raises(
        SettingsError, match="unknown profile 'huge'; known profiles: mini, mini-fast, reader, bge, bge-large, m3"
    ):
        open_site("builddaily")
    with pytest.raises(SettingsError, match="unknown profile 'tiny'"):
        find_profile("tiny")


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_every_pinned_model_is_whole(spec: ModelSpec) -> None:
    assert spec.licence in LICENCES
    assert spec.languages
    assert (spec.dimension is not None) == (spec.kind == "embedder")
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in spec.files.values())
    assert spec.identity == f"{spec.repo}@{spec.revision}#{spec.precision}"


def test_pins_are_the_checked_commits() -> None:
    pinned = {spec.repo: spec.revision for spec in MODELS.values() if not spec.repo.startswith("overfetch/")}
    assert pinned == COMMITS


def test_the_default_embedder_searches_what_the_original_wrote() -> None:
    assert {name: spec.searches for name, spec in MODELS.items() if spec.searches} == {"all-minilm-l6-v2": (ORIGINAL,)}


@pytest.mark.parametrize("name", ["mdbr-leaf-ir", "bge-small-en-v1.5"])
def test_queries_alone_have_the_prefix_that_these_were_trained_with(name: str) -> None:
    assert MODELS[name].query_prefix == "Represent this sentence for searching relevant passages: "
    assert MODELS[name].passage_prefix == ""


def test_nomic_is_asked_with_its_prefixes_and_its_native_length() -> None:
    nomic = MODELS["nomic-embed-text-v1.5"]
    assert (nomic.query_prefix, nomic.passage_prefix) == ("search_query: ", "search_document: ")
    assert (nomic.max_tokens, nomic.dimension) == (2048, 768)


def test_profiles_pair_an_embedder_with_a_reranker() -> None:
    of_the_hub = {"bge", "bge-large", "m3", "small", "small-fast", "modern", "classic"}
    assert set(PROFILES) == {"mini", "mini-fast", "reader", *of_the_hub}
    for profile in PROFILES.values():
        assert (profile.embedder.kind, profile.reranker.kind) == ("embedder", "reranker")
    offline = (PROFILES["mini"], PROFILES["mini-fast"], PROFILES["reader"])
    assert all(spec.package for profile in offline for spec in (profile.embedder, profile.reranker))
