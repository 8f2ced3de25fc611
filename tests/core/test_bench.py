"""`overfetch bench`: real models side by side, in small."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from overfetch.benchmarks.passages import log_normal_passages, own_passages
from overfetch.cli.main import app
from overfetch.errors import SettingsError

FIELDS = {"threads", "token_counts", "padding_waste", "gemm_gflops", "rows"}
ROW = {"name", "model", "candidates", "clients", "median_ms", "speedup", "max_score_difference", "top5_overlap"}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", "rerank", *arguments])


@pytest.mark.slow
def test_equal_weights_give_equal_scores() -> None:
    result = run("--candidates", "3,4", "--clients", "2", "--rounds", "1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= FIELDS
    assert len(document["token_counts"]) == 3
    assert 0 < document["padding_waste"] < 1
    rows = {(row["name"], row["candidates"], row["clients"]): row for row in document["rows"]}
    assert {(size, clients) for _, size, clients in rows} == {(3, 1), (4, 1), (3, 2)}
    for key, row in rows.items():
        assert row.keys() >= ROW | {"gemm_share"}
        assert row["median_ms"] > 0, key
        assert row["max_score_difference"] <= (1e-4 if "int8" not in key[0] else 1.0), key
    for size, clients in ((3, 1), (4, 1), (3, 2)):
        assert rows["sentence-transformers", size, clients]["speedup"] == 1
        assert {("ours-fp32", size, clients), ("ours-int8", size, clients)} <= rows.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--candidates", "0"), "--candidates is '0'; give numbers from 1 up"),
        (("--candidates", "many"), "--candidates is 'many'"),
        (("--model", "gpt"), "unknown model 'gpt'; known: minilm-l6, bge-reranker-base"),
    ],
)
def test_wrong_usage_says_what_is_allowed(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_lengths_follow_the_distribution(tiny_reranker: Any) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_reranker / "tokenizer.json"))
    passages = log_normal_passages(tokenizer, "the tower falls over a star " * 2000, 20)
    lengths = [len(tokenizer.encode(passage, add_special_tokens=False)) for passage in passages]
    assert abs(sum(lengths) - 20 * 137) <= 20
    assert max(lengths) > 2 * 137 > min(lengths)


def test_a_site_gives_its_own_chunks() -> None:
    passages = own_passages("paiddaily/tickers", 7)
    assert len(passages) == 7
    assert passages == own_passages("paiddaily/tickers", 7)
    assert passages != own_passages("paiddaily/catalysts", 7)
    with pytest.raises(SettingsError):
        own_passages("no-such-site", 7)
