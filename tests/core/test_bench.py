"""`overfetch bench`: real models side by side, in small."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from overfetch.benchmarks.passages import log_normal_passages, own_passages
from overfetch.benchmarks.products import layer_products
from overfetch.benchmarks.shares import (
    UNSTEADY,
    Limit,
    Operations,
    Pace,
    between,
    note,
    operations,
    part,
    share,
    spread,
)
from overfetch.cli.main import app
from overfetch.errors import SettingsError

FIELDS = {"threads", "token_counts", "padding_waste", "gemm_limits", "rows"}
ROW = {"name", "model", "candidates", "clients", "median_ms", "speedup", "max_score_difference", "top5_overlap"}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", "rerank", *arguments])


@pytest.mark.slow
def test_equal_weights_give_equal_scores() -> None:
    result = run("--candidates", "3", "--clients", "2", "--rounds", "1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document.keys() >= FIELDS
    assert len(document["token_counts"]) == 3
    assert 0 < document["padding_waste"] < 1
    rows = {(row["name"], row["candidates"], row["clients"]): row for row in document["rows"]}
    assert {(size, clients) for _, size, clients in rows} == {(3, 1), (3, 2)}
    for key, row in rows.items():
        assert row.keys() >= ROW | {"gemm_share", "gemm_computed", "gemm_note"}
        assert row["median_ms"] > 0, key
        assert row["gemm_share"] > 0, key
        assert (row["gemm_computed"] < 1) == key[0].startswith("ours"), key
        assert row["max_score_difference"] <= (1e-4 if "int8" not in key[0] else 1.0), key
    assert document["gemm_limits"].keys() == {"fp32", "int8", "int8_with_quantising"}
    assert all(0 < limit["lowest"] <= limit["gflops"] <= limit["highest"] for limit in document["gemm_limits"].values())
    for size, clients in ((3, 1), (3, 2)):
        assert rows["sentence-transformers", size, clients]["speedup"] == 1
        assert {("ours-fp32", size, clients), ("ours-int8", size, clients)} <= rows.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--candidates", "0"), "--candidates is '0'; give numbers from 1 up"),
        (("--candidates", "many"), "--candidates is 'many'"),
        (("--model", "gpt"), "unknown model 'gpt'; known: minilm-l6, bge-reranker-base, ettin-17m"),
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


# Two layers of width 4 with 8 within, by hand.
SMALL = SimpleNamespace(hidden_size=4, intermediate_size=8, num_hidden_layers=2)
SLOW, FAST = Pace(fp32=4.0, int8=2.0, quantising=1.0), Pace(fp32=2.0, int8=1.0, quantising=0.5)


class TestShares:
    def test_every_product_is_counted_in_its_precision(self) -> None:
        whole = operations(SMALL, [3, 1])
        rounded = operations(SMALL, [3, 1], int8=True)
        assert rounded == Operations(fp32=2 * 2 * 2 * 4 * (9 + 1), int8=2 * 2 * 4 * (4 * 4**2 + 2 * 4 * 8))
        assert whole == Operations(fp32=rounded.fp32 + rounded.int8)

    def test_of_a_last_layer_only_what_is_read(self) -> None:
        layer = 4 * (4 * 4**2 + 2 * 4 * 8) + 2 * 4 * (9 + 1)
        last = 4 * 2 * 4**2 + 2 * (2 * 4**2 + 2 * 4 * 8) + 2 * 4 * (3 + 1)
        assert operations(SMALL, [3, 1], first_only=True).fp32 == 2 * (layer + last)

    def test_gated_blocks_and_local_layers_are_counted_as_they_are(self) -> None:
        """Two tokens to each side: of five in a row 3 + 4 + 5 + 4 + 3 pairs, of two all four, of the first three."""
        modern = SimpleNamespace(
            **vars(SMALL),
            model_type="modernbert",
            layer_types=["full_attention", "sliding_attention"],
            sliding_window=2,
        )
        products = 7 * (4 * 4**2 + 3 * 4 * 8)
        whole = products + 2 * 4 * (25 + 4)
        assert operations(modern, [5, 2]).fp32 == 2 * (whole + products + 2 * 4 * (19 + 4))
        first = 7 * 2 * 4**2 + 2 * (2 * 4**2 + 3 * 4 * 8) + 2 * 4 * (3 + 2)
        assert operations(modern, [5, 2], first_only=True).fp32 == 2 * (whole + first)
        assert [tuple(p) for p in layer_products(modern)] == [(4, 4)] * 4 + [(4, 8)] * 2 + [(8, 4)]

    def test_a_row_is_held_against_the_limits_of_its_own_round(self) -> None:
        assert between(SLOW, FAST) == Pace(3.0, 1.5, 0.75)
        work = Operations(fp32=1.0, int8=2.0)
        assert share(work, [SLOW, FAST, FAST], [10.0, 5.0, 4.0]) == 0.8  # the machine halved its pace, and nothing else
        assert part(Operations(fp32=1.0), work, [SLOW, FAST]) == 0.5

    def test_the_limits_come_with_their_spread(self) -> None:
        paces = [Pace(*(1e-9 * seconds for seconds in pace)) for pace in (SLOW, FAST, FAST)]
        found = spread(paces)
        assert found["int8"] == Limit(gflops=1.0, lowest=0.5, highest=1.0)
        assert found["int8_with_quantising"] == Limit(gflops=0.7, lowest=0.3, highest=0.7)

    @pytest.mark.parametrize(
        ("found", "computed", "reason"),
        [
            (0.97, 0.86, None),
            (1.02, 1.0, None),
            (1.03, 1.0, UNSTEADY),
            (1.15, 0.86, "14% of the model's products are left out, for nobody reads them"),
            (1.2, 0.86, UNSTEADY),
        ],
    )
    def test_more_than_the_limit_is_explained(self, found: float, computed: float, reason: str | None) -> None:
        assert note(found, computed) == reason
