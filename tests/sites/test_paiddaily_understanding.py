"""How paiddaily reads its users' questions: dates in words, symbols, names, places, sizes, losses, means of attack."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from overfetch import AnyOf, Engine, Environment, Focus, NumberRange, Understood, load_site, open_site
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore
from paiddaily.catalysts import understand_catalysts
from paiddaily.losses import loss_of
from paiddaily.records import adapt_ticker, known_at
from paiddaily.tickers import SCOPE, US, understand_tickers

DAY = date(2024, 2, 10)
SOUTHEAST_ASIA = {"Brunei", "Cambodia", "Indonesia", "Laos", "Malaysia", "Myanmar", "Philippines", "Singapore"}
SOUTHEAST_ASIA |= {"Thailand", "Vietnam"}


def test_no_long_question_is_slow() -> None:
    for text in (
        "1 to " * 7_000,
        "in the " * 4_500 + "y europe asia",
        "a" + "\n" * 32_000 + "x",
        "not in " * 5_000,
        "jan " * 8_000,
        "$1 over " * 4_000,
        "a" * 32_768,
        "A.B " * 8_000,
    ):
        understand_catalysts(text, DAY)
        understand_tickers(text, DAY)


def conditions(understood: Understood) -> list[AnyOf]:
    return [c for focus in understood.focuses for c in focus.conditions if isinstance(c, AnyOf)]


def values(understood: Understood, field: str) -> set[str]:
    return {value for c in conditions(understood) if c.field == field for value in c.values}


def keys_of(focus: Focus) -> tuple[str, ...]:
    return tuple(v for c in focus.conditions if isinstance(c, AnyOf) and c.field == "keys" for v in c.values)


def missing(understood: Understood, *, among: bool = False) -> set[str]:
    """What is said not to be there, if the store has none of it: of any, or only of many passages."""
    return {focus.missing for focus in understood.focuses if focus.missing and bool(focus.among) is among}


@pytest.mark.parametrize(
    ("question", "key"),
    [
        ("aapl", "us:AAPL"),
        ("$tsla", "us:TSLA"),
        ("T", "us:T"),
        ("ON", "us:ON"),
        ("JPM^D", "us:JPM^D"),
        ("brk-b", "us:BRK-B"),
        ("ASYAINFO", "symbol:ASYAINFO"),
        ("nesn.sw", "listing:NESN.SW"),
        ("is 7203.T cheap", "listing:7203.T"),
        ("AVAX catalysts", "us:AVAX"),
        ("NASDAQ:AAPL", "us:AAPL"),
        ("TSX: SHOP", "symbol:SHOP"),
        ("ticker zqxj", "us:ZQXJ"),
        ("jp morgan chase", "name:jpmorganchase"),
        ("who owns Louis Vuitton?", "part:louisvuitton"),
        ("Microsft", "near:microsft"),
    ],
)
def test_symbols_and_names_are_looked_up_by_their_keys(question: str, key: str) -> None:
    assert key in values(understand_tickers(question, DAY), "keys")


@pytest.mark.parametrize("question", ["AI chips in the US", "who makes LED lamps", "all ETF providers", "it is so on"])
def test_abbreviations_and_words_are_no_symbols(question: str) -> None:
    assert not [key for key in values(understand_tickers(question, DAY), "keys") if key.startswith(("us:", "symbol:"))]


@pytest.mark.parametrize(
    ("question", "countries"),
    [
        ("small german solar companies", {"Germany"}),
        ("Japanese or Korean game studios", {"Japan", "South Korea"}),
        ("banks in New Zealand", {"New Zealand"}),
        ("US steel mills", {"United States"}),
        ("nordic banks, not swedish", {"Denmark", "Faroe Islands", "Finland", "Iceland", "Norway"}),
        ("banks from Sweden, not from the US", {"Sweden"}),
        (
            "scandinavian or baltic banks without denmark and norway",
            {"Faroe Islands", "Finland", "Iceland", "Sweden", "Estonia", "Latvia", "Lithuania"},
        ),
        ("tell us about banks", set()),
        ("New Mexico copper", {"United States"}),
        ("hotels in Doha", {"Qatar"}),
        ("polish banks", {"Poland"}),
        ("nail polish", set()),
        ("airport owners listed in Mexico City", set()),
        ("banks in South Africa", {"South Africa"}),
        ("south-east asian chip makers, not singapore", SOUTHEAST_ASIA - {"Singapore"}),
        ("north american railways", {"Canada", "Mexico", "United States"}),
        ("benelux ex-Dutch insurers", {"Belgium", "Luxembourg"}),
    ],
)
def test_countries_in_words(question: str, countries: set[str]) -> None:
    assert values(understand_tickers(question, DAY), "country") == countries


def test_what_is_left_out_is_not_searched_for() -> None:
    understood = understand_tickers("gold miners not in Canada", DAY)
    assert understood.text == "gold miners"
    assert "Canada" not in values(understood, "country") >= {"Australia", "South Africa"}


def test_a_region_is_no_name() -> None:
    assert understand_tickers("chip makers in southeast asia", DAY).text == "chip makers"
    assert understand_tickers("gold projects in West Africa, listed in Canada", DAY).text.count("West Africa") == 1
    assert understand_tickers("southeast asia", DAY).text == "southeast asia"
    assert understand_tickers("Gulf Oil Lubricants", DAY).text == "Gulf Oil Lubricants"
    assert understand_tickers("İ airlines in Europe", DAY).text == "İ airlines in Europe"


@pytest.mark.parametrize(
    ("question", "text", "left_out"),
    [
        ("gold miners not just in Canada", "gold miners not just in Canada", None),
        ("gold miners, not the ones in Canada", "gold miners", "Canada"),
        ("gold miners not listed in Canada", "gold miners", "Canada"),
        ("airports outside France, non-Greek", "airports", "Greece"),
        ("carmakers but not BMW", "carmakers", None),
        ("cheap but not yet profitable", "cheap but not yet profitable", None),
        ("software, non-recurring revenue", "software, non-recurring revenue", None),
        ("Rolex Japan distributors ex Japan", "Rolex Japan distributors", "Japan"),
    ],
)
def test_what_is_left_out(question: str, text: str, left_out: str | None) -> None:
    understood = understand_tickers(question, DAY)
    bound = values(understood, "country") | values(understood, "size")
    assert understood.text == text
    assert left_out not in bound


@pytest.mark.parametrize(
    ("question", "sizes"),
    [
        ("mid cap or larger oil producers", {"Mid Cap", "Large Cap", "Mega Cap"}),
        ("bigger than mid cap in Denmark", {"Large Cap", "Mega Cap"}),
        ("micro and nano caps", {"Micro Cap", "Nano Cap"}),
        ("at most small caps", {"Small Cap", "Micro Cap", "Nano Cap"}),
        ("uranium miners, not nano or micro caps", {"Small Cap", "Mid Cap", "Large Cap", "Mega Cap"}),
    ],
)
def test_ranges_of_sizes(question: str, sizes: set[str]) -> None:
    scopes = [focus for focus in understand_tickers(question, DAY).focuses if focus.leads == SCOPE]
    bounds = (c for focus in scopes for c in focus.conditions if isinstance(c, AnyOf) and c.field == "size")
    assert set(next(bounds).values) == sizes


@pytest.mark.parametrize("question", ["bank on the Faroe Islands", "coffee stock from Brazil", "tokens on ethereum"])
def test_the_first_word_before_a_kind_of_share_is_no_name(question: str) -> None:
    leading = [focus.conditions[0] for focus in understand_tickers(question, DAY).focuses if focus.leads == US]
    assert AnyOf(field="keys", values=(f"name:{question.split()[0]}",)) not in leading


@pytest.mark.parametrize(("question", "word"), [("who owns tinder", "tinder"), ("louis vuiton", None)])
def test_what_some_text_writes_so_is_no_mistake(question: str, word: str | None) -> None:
    near = [f for f in understand_tickers(question, DAY).focuses if any(v.startswith("near:") for v in keys_of(f))]
    assert [focus.unless for focus in near if focus.leads] == [word]


def test_sizes_bound_only_where_they_are_said_outright() -> None:
    outright = understand_tickers("large cap japanese drug makers", DAY)
    assert outright.notes == ("Japan", "Large Cap")
    passing = understand_tickers("big japanese drug makers", DAY)
    assert passing.notes == ("Japan",)
    assert "Mega Cap" in values(passing, "size")


def test_exchanges_count_where_shares_are_listed() -> None:
    assert values(understand_tickers("ship owners quoted in Oslo", DAY), "markets") == {"OL"}
    assert not values(understand_tickers("hotels in Oslo", DAY), "markets")


@pytest.mark.parametrize(
    ("question", "countries"),
    [
        ("banks listed on nasdaq", set()),
        ("NYSE listed shipping companies", set()),
        ("listed in the US and based in China", {"China"}),
        ("chinese companies with a us listing", {"China"}),
    ],
)
def test_a_listing_in_the_united_states_says_no_country(question: str, countries: set[str]) -> None:
    understood = understand_tickers(question, DAY)
    assert values(understood, "markets") == {"US"}
    assert values(understood, "country") == countries


def test_a_symbol_with_the_letters_of_the_united_states_is_a_listing() -> None:
    apple = adapt_ticker({"symbol": "APC.HM", "us_symbol": "AAPL", "name": "Apple Inc.", "listings": ["APC.HM"]})
    assert apple["markets"] == ["HM", "US"]
    understood = understand_tickers("AAPL.US", DAY)
    assert "listing:AAPL.US" in values(understood, "keys") & {*apple["keys"]}
    assert not values(understood, "country")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("who gets rid of bed bugs", "pest control services termite rodents"),
        ("second-hand car dealers", "used cars dealerships"),
        ("burning rubbish for power", "waste-to-energy incineration"),
        ("korean jeans", "jeans denim"),
    ],
)
def test_everyday_words_are_searched_for_as_business_has_them(question: str, words: str) -> None:
    assert words in {focus.text for focus in understand_tickers(question, DAY).focuses}


def test_business_words_lead_within_a_country_alone() -> None:
    led = {focus.text for focus in understand_tickers("korean jeans", DAY).focuses if focus.leads}
    assert led == {None, "jeans denim", "korean jeans denim"}
    assert not [focus for focus in understand_tickers("who makes jeans", DAY).focuses if focus.leads and focus.text]


def test_oil_is_not_always_petroleum() -> None:
    petroleum = "Oil, Gas & Consumable Fuels"
    assert petroleum in values(understand_tickers("oil in Norway", DAY), "kinds")
    assert petroleum not in values(understand_tickers("olive oil", DAY), "kinds")


def test_where_records_lack_their_country_its_exchange_counts() -> None:
    understood = understand_tickers("small cap Malaysian gloves", DAY)
    assert values(understood, "markets") == {"KL"}
    assert all("size" in {c.field for c in f.conditions} for f in understood.focuses if f.leads == 1)
    assert not values(understand_tickers("small cap Japanese gloves", DAY), "markets")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("$RBLX", "no symbol RBLX"),
        ("12345.KS", "no symbol 12345.KS"),
        ("xrp ripple", "no symbol XRP"),
        ("databricks", "nothing that is called 'databricks'"),
        ("companies from Nepal", "nothing in Nepal"),
        ("casinos in Qatar", "nothing about 'casinos' in Qatar"),
    ],
)
def test_what_may_be_missing_is_said(question: str, told: str) -> None:
    assert told in missing(understand_tickers(question, DAY))


@pytest.mark.parametrize(
    "question", ["piano makers", "undertakers", "who owns gucci", "cybersecurity", "cheap gold stocks"]
)
def test_themes_are_never_called_missing(question: str) -> None:
    assert not missing(understand_tickers(question, DAY))


@pytest.mark.parametrize(
    ("question", "unit", "bounds"),
    [
        ("thefts above half a billion usd", "usd", {(500e6, None)}),
        ("hacks of more than 50 but below 100 mln", "usd", {(50e6, None), (None, 100e6)}),
        ("small loss on bsc, under 5 bnb", "bnb", {(None, 5)}),
        ("exploits over a million", "usd", {(1e6, None)}),
        ("stolen: six figures or more in busd", "busd", {(100e3, None)}),
        ("losses of five million dollars and up", "usd", {(5e6, None)}),
        ("between one and two million usd lost", "usd", {(1e6, None), (None, 2e6)}),
        ("eight figure hacks", "usd", {(10e6, None), (None, 100e6)}),
        ("exploits bigger than $100k", "usd", {(100e3, None)}),
        ("hacks >= 50M", "usd", {(50e6, None)}),
        ("sub-$1k hacks", "usd", {(None, 1e3)}),
        ("hacks of less than 100 bucks", "usd", {(None, 100)}),
        ("exploits of less than $50", "usd", {(None, 50)}),
        ("hacks over 100k usdt", "usd", {(100e3, None)}),
        ("hacks except Ronin over 100 million", "usd", {(100e6, None)}),
    ],
)
def test_losses(question: str, unit: str, bounds: set[tuple[float | None, float | None]]) -> None:
    understood = understand_catalysts(question, DAY)
    numbers = {c for f in understood.focuses for c in f.conditions if isinstance(c, NumberRange)}
    assert values(understood, "loss_unit") == {unit}
    assert {(c.above or c.at_least, c.below or c.at_most) for c in numbers} == bounds


@pytest.mark.parametrize(
    "question",
    ["staking more than 32 eth on one validator", "more than 3 hacks", "over 100 validators", "stock price under $50"],
)
def test_numbers_that_are_no_losses(question: str) -> None:
    assert not values(understand_catalysts(question, DAY), "loss_unit")


def test_losses_of_records() -> None:
    assert loss_of("~$1.24K (2.13 BNB)") == (1240.0, ["usd"])
    assert loss_of("205K USDT + 36 BNB") == (205_000.0, ["usd"])
    assert loss_of("996B (CGT token)") == (996e9, ["tokens"])
    assert loss_of("") is None
    assert loss_of("~$40ETH") == loss_of("$~40 ETH") == (40.0, ["eth"])
    assert loss_of("~$5K $BUSD") == (5000.0, ["usd", "busd"])
    assert loss_of("Multiple ERC-20 Tokens (~152M US$)") == (152e6, ["usd"])
    assert loss_of(">200k USD(plus a lot of STC tokens)") == (200e3, ["usd"])
    assert loss_of("1 USDC, 0,0067 WBTC, 2.25 WETH (~$130K USD)") == (130e3, ["usd"])
    assert loss_of("4.1M VUSD, 5K DAI, 0.23 WBTC, 50K USDT (>$3.8M USD)") == (3.8e6, ["usd"])
    assert loss_of("~$101K (82,315 USDC + 19,074 USDC.e)") == (101e3, ["usd"])
    assert loss_of("N/A (purely educational; the worst case would have been ~$2M)") is None


@pytest.mark.parametrize(
    ("question", "technique"),
    [
        ("the team ran away", "rug-pull"),
        ("first depositor attack", "first-depositor"),
        ("stolen private keys", "private-key"),
        ("malicious proposal", "governance"),
        ("view-only re-entrancy", "read-only-reentrancy"),
    ],
)
def test_means_of_attack_in_other_words(question: str, technique: str) -> None:
    assert technique in values(understand_catalysts(question, DAY), "techniques")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("attackers emptied the vault", "security-incident"),
        ("burn the base fee", "protocol-proposal"),
        ("burger chain sells bonds", "8k"),
        ("casino operator hit by cyber attack", "8k"),
        ("a malicious proposal drained the treasury", "security-incident"),
        ("token unlock with a stolen key", "unlock"),
    ],
)
def test_what_is_spoken_of_is_raised(question: str, kind: str) -> None:
    assert kind in values(understand_catalysts(question, DAY), "type")


def test_what_is_left_out_is_no_name() -> None:
    understood = understand_catalysts("bridge hacks apart from ronin in 2022", DAY)
    assert understood.text == "bridge hacks in 2022"
    assert understood.notes[0] == "2022-01-01 to 2022-12-31"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("exploits that did not involve price manipulation, december", "exploits, december"),
        ("hacks april 2023 not by flash loan", "hacks april 2023"),
        ("hacks without flash loans in 2022", "hacks in 2022"),
        ("non-flash-loan hacks", "hacks"),
        ("hacks with no flash loan involved in 2023", "hacks in 2023"),
        ("without flash loans, what hacks", "what hacks"),
        ("rug pulls not on bsc in 2023", "rug pulls in 2023"),
        ("hacks in 2022 that weren't on ethereum or bsc", "hacks in 2022"),
        ("which hacks were not on ethereum", "which hacks"),
        ("oracle failures, non-BSC", "oracle failures"),
        ("hacks under 10k not in 2025", "hacks under 10k"),
        ("biggest bridge hacks, excluding Ronin, 2022", "biggest bridge hacks, 2022"),
        ("bridge hacks without Ronin", "bridge hacks"),
        ("admin keys got stolen, not a code bug", "admin keys got stolen"),
    ],
)
def test_what_is_left_out_is_not_read_as_wanted(question: str, text: str) -> None:
    understood = understand_catalysts(question, DAY)
    assert understood.text == text
    read = {value for c in conditions(understood) for value in c.values}
    assert not read & {"price-manipulation", "flash-loan", "bsc", "name:ronin"}
    assert not any(note.startswith("2025") for note in understood.notes)


@pytest.mark.parametrize(
    "question",
    [
        "unprotected mint, no access control",
        "swap without slippage protection",
        "whitehat or disclosure only, no user money gone",
        "redeemed without burning the shares",
        "nobody could have known",
    ],
)
def test_what_a_flaw_lacks_is_not_left_out(question: str) -> None:
    assert understand_catalysts(question, DAY).text == question


@pytest.mark.parametrize(
    ("question", "states"),
    [
        ("draft or stagnant eips", {"Draft", "Stagnant"}),
        ("selfdestruct eips not stagnant", {"Withdrawn", "Final", "Draft", "Review", "Living", "Last Call"}),
        ("eips that are not withdrawn or final", {"Stagnant", "Draft", "Review", "Living", "Last Call"}),
        ("withdrawn eips, not stagnant", {"Withdrawn"}),
        ("eips that were never final", {"Withdrawn", "Stagnant", "Draft", "Review", "Living", "Last Call"}),
        ("funds that could not be withdrawn", set()),
    ],
)
def test_states_of_proposals(question: str, states: set[str]) -> None:
    understood = understand_catalysts(question, DAY)
    assert values(understood, "status") == states
    assert len({condition for condition in conditions(understood) if condition.field == "status"}) == bool(states)


def leading(question: str, field: str, value: str) -> int:
    """How far that leads which has this value."""
    focuses = understand_catalysts(question, DAY).focuses
    return max(f.leads for f in focuses for c in f.conditions if c.field == field and value in getattr(c, "values", ()))


@pytest.mark.parametrize(
    ("question", "key", "field", "value"),
    [
        ("someone accidentally bricked the parity library", "name:parity", "techniques", "denial-of-service"),
        ("a hacker minted from nothing with a precision error on Resupply", "part:resupply", "techniques", "rounding"),
        ("team finance $15.8M", "name:teamfinance", "loss_unit", "usd"),
        ("bonqdao 88 million", "name:bonqdao", "loss_unit", "usd"),
        ("cream 130 million", "name:cream", "loss_unit", "usd"),
    ],
)
def test_a_name_leads_means_and_amounts(question: str, key: str, field: str, value: str) -> None:
    assert leading(question, "keys", key) > leading(question, field, value)


@pytest.mark.parametrize("question", ["the team took the market down", "curve of a vault"])
def test_a_common_word_among_others_is_raised_and_does_not_lead(question: str) -> None:
    names = [key for key in values(understand_catalysts(question, DAY), "keys") if key in ("name:market", "name:vault")]
    assert names
    assert leading(question, "keys", names[0]) == 0


@pytest.mark.parametrize(
    ("question", "formal"),
    [
        ("merge EIP", "proof-of-stake consensus upgrade"),
        ("ETH 2.0", "proof-of-stake consensus upgrade"),
        ("they gave the funds back", "funds returned whitehat refunded"),
        ("a white hat took it", "funds returned whitehat refunded"),
    ],
)
def test_reports_write_it_in_other_words(question: str, formal: str) -> None:
    assert formal in {focus.text for focus in understand_catalysts(question, DAY).focuses}


def test_a_safe_is_no_chain() -> None:
    assert not values(understand_catalysts("gnosis safe hack", DAY), "chains")
    assert values(understand_catalysts("gnosis chain hack", DAY), "chains") == {"gnosis"}


def test_a_chain_is_only_missing_where_nothing_ever_was_on_it() -> None:
    focuses = understand_catalysts("hacks on BSC in March 2023", DAY).focuses
    [told] = {focus.conditions for focus in focuses if focus.missing == "no event on bsc"}
    assert [condition.field for condition in told] == ["chains"]


def test_the_large_and_the_amount_that_is_said_lead() -> None:
    for question, least in (
        ("biggest hacks of 2022", 1e8),
        ("top 10 hacks", 1e8),
        ("hacks of 2022 by size", 1e8),
        ("hacks of about 11 million", 9.9e6),
    ):
        sizes = [
            c for f in understand_catalysts(question, DAY).focuses for c in f.conditions if isinstance(c, NumberRange)
        ]
        assert sizes[0].at_least == pytest.approx(least)


def test_the_day_is_that_of_the_question() -> None:
    notes = [understand_catalysts("hacks last month", date(year, 1, 15)).notes[0] for year in (2022, 2023)]
    assert notes == ["2021-12-01 to 2021-12-31", "2022-12-01 to 2022-12-31"]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("exploits two weeks after the merge", "2022-09-16 to 2022-09-29"),
        ("hacks before shapella", "1900-01-01 to 2023-04-11"),
        ("exploits around 10 March 2023", "2023-02-08 to 2023-04-09"),
    ],
)
def test_days_have_names_and_neighbours(question: str, told: str) -> None:
    assert understand_catalysts(question, DAY).notes[0] == told


def test_no_day_is_known_before_it_comes() -> None:
    assert understand_catalysts("hacks before dencun", date(2024, 3, 13)).notes[0] == "1900-01-01 to 2024-03-12"
    assert understand_catalysts("hacks before dencun", date(2024, 3, 12)).notes == ("security-incident or exploit",)


@pytest.mark.parametrize("question", ["the merge", "Dencun changes"])
def test_a_day_that_is_only_named_is_none(question: str) -> None:
    assert not understand_catalysts(question, DAY).notes


def test_the_markets_shape() -> None:
    shape = values(understand_catalysts("unlock while funding is below zero and open interest is rising", DAY), "shape")
    assert {"funding:negative", "interest:rising"} <= shape


POST = "https://twitter.com/someone/status/1634128424155291648"  # of 10 March 2023


@pytest.mark.parametrize(
    ("record", "known"),
    [
        ({"type": "security-incident", "date": "2023-03-09", "links": [POST]}, "2023-03-10"),
        ({"type": "security-incident", "date": "2023-03-11", "links": [POST]}, "2023-03-11"),
        ({"type": "security-incident", "date": "2023-01-01", "links": [POST]}, "2023-03-10"),
        ({"type": "security-incident", "date": "2023-01-01"}, "2023-01-08"),
        (
            {"type": "8k", "date": "2023-08-23", "date_source": "file name", "text": "Date: August 25, 2023"},
            "2023-08-25",
        ),
        ({"type": "8k", "date": "2023-08-23", "date_source": "file name", "text": "Signed."}, "2023-08-30"),
        ({"type": "Earnings", "date": "2023-08-23", "date_source": "first date in text"}, None),
        ({"type": "protocol-upgrade", "date": "2023-08-23"}, None),
        ({"type": "listing", "date": "2023-08-23"}, "2023-08-23"),
        ({"type": "listing"}, None),
    ],
)
def test_what_was_known_when(record: dict[str, Any], known: str | None) -> None:
    assert known_at(record) == known


TICKERS = [
    {
        "symbol": "T.TI",
        "us_symbol": "T",
        "name": "AT&T Inc.",
        "market_cap": "Mega Cap",
        "summary": "AT&T Inc. runs phones.",
    },
    {"symbol": "T^A", "us_symbol": "T^A", "name": "AT&T Inc. Preferred Stock", "summary": "AT&T Inc. Preferred pays."},
    {"symbol": "TD.BA", "name": "AT&T INC", "summary": "AT&T Inc. is a company of phones."},
    {"symbol": "T.TO", "name": "TELUS Corporation", "market_cap": "Large Cap", "summary": "TELUS runs phones."},
    {"symbol": "T.BK", "name": "T Engineering PCL", "market_cap": "Nano Cap", "summary": "T Engineering builds roads."},
    {"symbol": "AE", "us_symbol": "AE", "name": "Adams Resources", "summary": "Adams Resources moves crude oil."},
    {"symbol": "NTOA.MU", "name": "NINTENDO CO. ADR 1/8", "summary": "Nintendo Co., Ltd. makes games."},
    {
        "symbol": "DNQ.DU",
        "name": "Equinor ASA",
        "country": "Norway",
        "summary": "Equinor ASA pumps. It was formerly known as Statoil ASA.",
    },
    {
        "symbol": "TEL.OL",
        "name": "Telenor ASA",
        "country": "Norway",
        "market_cap": "Large Cap",
        "summary": "Telenor runs phones.",
    },
]
COIN = {"_id": "AE", "symbol": "AE", "name": "Aeternity", "summary": "Aeternity (AE) is a cryptocurrency."}


@pytest.fixture(scope="module")
def tickers(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tickers")
    companies, coins = folder / "companies.jsonl", folder / "coins.jsonl"
    rows = [{"_id": row["symbol"], "exchange": "X", "sector": "S", **row} for row in TICKERS]
    companies.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    coins.write_text(json.dumps(COIN), encoding="utf-8")
    engine = Engine(load_site("paiddaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=FakeStore())
    engine.index("tickers", companies, coins)
    return engine


def found(engine: Engine, query: str, collection: str = "tickers", **options: str) -> list[str]:
    return [hit.passage.document_id for hit in engine.search(collection, query, **options).hits]  # type: ignore[arg-type]


def test_bearers_of_a_symbol_come_in_the_stated_order(tickers: Engine) -> None:
    assert found(tickers, "T")[:3] == ["T.TI", "T.TO", "T.BK"]
    assert found(tickers, "$t stock")[:3] == ["T.TI", "T.TO", "T.BK"]
    assert found(tickers, "t.bk")[0] == "T.BK"


def test_a_companys_listings_are_one_and_the_common_share_speaks_for_them(tickers: Engine) -> None:
    hits = found(tickers, "at&t")
    assert hits[0] == "T.TI"
    assert not {"T^A", "TD.BA"} & {*hits}


def test_names_are_found_misspelt_and_former(tickers: Engine) -> None:
    assert found(tickers, "nintndo")[0] == "NTOA.MU"
    assert found(tickers, "Statoil")[0] == "DNQ.DU"


@pytest.mark.parametrize("question", ["nintendo vs telus", "Telus versus NTOA", "ntoa compared to telus"])
def test_of_two_that_are_compared_each_leads(question: str, tickers: Engine) -> None:
    hits = tickers.search("tickers", question, rerank=False).hits
    assert {hit.passage.document_id for hit in hits[:2]} == {"NTOA.MU", "T.TO"}
    assert all(hit.leads for hit in hits[:2])


def test_subjects_that_are_compared_are_no_names() -> None:
    keys = {
        value
        for focus in understand_tickers("gold vs silver miners", DAY).focuses
        for condition in focus.conditions
        if focus.leads and isinstance(condition, AnyOf)
        for value in condition.values
    }
    assert not keys & {"name:gold", "name:silver", "part:gold"}


def test_of_many_that_are_compared_the_last_leads_too(tickers: Engine) -> None:
    hits = tickers.search("tickers", "equinor vs telenor vs nintendo vs telus", rerank=False).hits
    assert {hit.passage.document_id for hit in hits[:4]} == {"DNQ.DU", "TEL.OL", "NTOA.MU", "T.TO"}


@pytest.mark.parametrize(
    "question",
    ["phones, not in the us", "phones outside Norway", "phones not in norway", "non-Norwegian phones", "non us phones"],
)
def test_a_country_is_left_out(question: str) -> None:
    read = understand_tickers(question, DAY)
    left_out = "Norway" if "orw" in question else "United States"
    countries = {
        v for f in read.focuses for c in f.conditions if c.field == "country" for v in getattr(c, "values", ())
    }
    assert read.text == "phones"
    assert left_out not in countries
    assert "Germany" in countries
    assert not any("name:phones" in getattr(c, "values", ()) for f in read.focuses for c in f.conditions)


def test_what_a_rare_word_may_be_called_is_not_missing() -> None:
    """Symbols are in no text."""
    for understand in (understand_tickers, understand_catalysts):
        read = understand("is ULVR listed", DAY)
        assert missing(read, among=True) == {"nothing on 'ULVR'"}
        values = {v for f in read.focuses if f.among for c in f.conditions for v in getattr(c, "values", ())}
        assert {"symbol:ULVR", "us:ULVR", "name:ulvr"} <= values


def test_rare_words_that_texts_write_otherwise_are_not_missing() -> None:
    assert missing(understand_catalysts("losses over xmas", DAY), among=True) == set()
    assert missing(understand_tickers("kombucha brewers", DAY), among=True) == {"nothing on 'kombucha'"}


def test_a_coin_and_a_share_of_one_symbol_are_both_there(tickers: Engine) -> None:
    assert {*found(tickers, "AE")[:2]} == {"AE", "coin:AE"}


def test_places_and_sizes_lead(tickers: Engine) -> None:
    assert {*found(tickers, "phone companies from Norway")[:2]} == {"TEL.OL", "DNQ.DU"}
    assert found(tickers, "large cap norwegian roads")[0] == "TEL.OL"


def test_what_no_ticker_is_called_is_refused(tickers: Engine) -> None:
    for question in (
        "$RBLX",
        "databricks",
        "banks in Nepal",
        "companies from bhutan",
        "phones coin",
        "lucid motors stock",
    ):
        assert not tickers.ask(question).found
    for question in ("nintendo", "who builds roads", "phones in Norway"):
        assert tickers.search("tickers", question).understood is not None
        assert tickers.ask(question, collection="tickers").answer.startswith("Not in the sources") is False


@pytest.mark.parametrize("question", ["stocks near a 52 week low", "who increased guidance", "p/e below 10"])
def test_figures_of_a_day_need_a_record_of_some_day(tickers: Engine, question: str) -> None:
    assert not tickers.ask(question).found


@pytest.mark.parametrize("question", ["momentum wheels for satellites", "missile guidance systems", "budget airlines"])
def test_what_only_sounds_like_a_figure_is_none(question: str) -> None:
    assert not any("bears a date" in told for told in missing(understand_tickers(question, DAY)))


HACK = {"type": "security-incident", "text": "It was exploited."}
EVENTS: list[dict[str, Any]] = [
    {**HACK, "_id": "h1", "date": "2023-03-01", "entity": "EulerFinance", "technique": "Flashloan", "loss": "~$200M"},
    {**HACK, "_id": "h2", "date": "2023-03-10", "entity": "Market", "technique": "Reentrancy", "loss": "12 BNB"},
    {**HACK, "_id": "h3", "date": "2023-12-09", "entity": "Rugged", "technique": "Rug Pull", "loss": "$3k"},
    {
        "_id": "eip-7569",
        "date": "2023-12-01",
        "type": "protocol-upgrade",
        "entity": "Ethereum (ETH)",
        "status": "Final",
        "title": "EIP-7569: Hardfork Meta Dencun",
        "text": "The changes of Dencun.",
        "activation": {"Mainnet": "2024-03-13"},
        "sections": {"Motivation": "To tell what is in it."},
    },
    {
        "_id": "q1",
        "date": "2023-03-31",
        "date_source": "first date in text",
        "type": "Earnings",
        "entity": "McDonalds",
        "title": "McDonalds Earnings",
        "text": "For the quarter ended March 31, 2023. (NYSE: MCD)",
    },
]


@pytest.fixture(scope="module")
def catalysts(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    source = tmp_path_factory.mktemp("catalysts") / "events.jsonl"
    rows = [{"title": f"{row['date']} {row['entity']}", **row} for row in EVENTS]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    engine = Engine(load_site("paiddaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=FakeStore())
    engine.index("catalysts", source)
    return engine


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("attacks around 9 March 2023", "h2"),
        ("attacks around 2 March 2023", "h1"),
        ("attacks on 8 March 2023", "h2"),
        ("attacks on 4 December 2023", "h3"),
        ("eulr finance", "h1"),
        ("team ran away", "h3"),
        ("thefts above 100 million", "h1"),
        ("exploits below 20 bnb", "h2"),
        ("eip 7569", "eip-7569"),
        ("which fork went live in march 2024", "eip-7569"),
        ("$MCD results", "q1"),
    ],
)
def test_the_event_that_is_meant_comes_first(catalysts: Engine, question: str, first: str) -> None:
    assert found(catalysts, question, "catalysts")[0] == first


@pytest.mark.parametrize(
    "question",
    [
        "eip 9999",
        "erc-721",
        "exploits in 2019",
        "$TSLA earnings",
        "a theft above 2 billion dollars",
        "mcdonalds 8-k 2019",
        "celsius network bankruptcy",
        "kucoin hot wallet september 2020",
        "trezor data breach",
        "alameda research",
        "rug pull on algorand",
        "sec lawsuit against a founder",
        "the token was delisted after the exploit",
        "interest rate cuts",
        "attackers went to prison",
    ],
)
def test_events_that_are_not_there_are_refused(catalysts: Engine, question: str) -> None:
    assert not catalysts.ask(question, collection="catalysts").found


@pytest.mark.parametrize(
    "question",
    [
        "euler finance hack march 2023",  # `finance` is of the name, and no event need write it
        "reentrncy hack",  # near to a word of the field
        "exploits of december 2023",
        "mcdonalds results",
        "the team that disappeared with the deposits of everybody",
        "what got hacked in march 2023",
        "euler finance hack june 2023",  # people may be wrong about a month
        "erc-667 reentrancy exploit",  # a token of that standard
    ],
)
def test_events_that_are_there_are_not_refused(catalysts: Engine, question: str) -> None:
    assert catalysts.ask(question, collection="catalysts").found


@pytest.mark.parametrize(
    ("question", "as_of", "first"),
    [
        ("latest attacks", "2024-02-10", "h3"),
        ("the most recent attacks", "2023-03-20", "h2"),
        ("attacks in march", "2024-02-10", "h2"),
    ],
)
def test_the_latest_comes_first(catalysts: Engine, question: str, as_of: str, first: str) -> None:
    assert found(catalysts, question, "catalysts", as_of=as_of)[0] == first


def test_what_a_day_did_not_know_is_hidden(catalysts: Engine) -> None:
    """A period's end is no day on which results were known; a proposal's title and text may be later ones."""
    hits = catalysts.search("catalysts", "dencun results", as_of="2024-03-12", top_n=20).hits
    assert not {"q1", "eip-7569"} & {hit.passage.document_id for hit in hits}
    hits = catalysts.search("catalysts", "dencun results", as_of="2024-03-13", top_n=20).hits
    [proposal] = [hit.passage for hit in hits if hit.passage.document_id == "eip-7569"]
    assert proposal.text == "EIP-7569: Hardfork Meta Dencun (2023-12-01)"
    assert not {"status", "active"} & proposal.metadata.keys()


@pytest.fixture(scope="module")
def sample(samples: Environment) -> Iterator[Engine]:
    with open_site("paiddaily", environment=samples) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("mu", "MU"),
        ("$o", "O"),
        ("V", "V"),
        ("ON", "ON"),
        ("nvda", "NVDA"),
        ("Microsft", "MSFT"),
        ("arm holdings", "ARM"),
    ],
)
def test_symbols_and_names_of_the_sample_come_first(sample: Engine, question: str, first: str) -> None:
    assert found(sample, question)[0] == first


@pytest.mark.slow
def test_an_outcome_stays_hidden_by_whatever_words(sample: Engine) -> None:
    for question in ("Pendle listing", "events around 5 July 2023", "$PENDLE", "funding strongly positive"):
        for hit in sample.search("catalysts", question, as_of="2023-07-06").hits:
            assert str(hit.passage.metadata["known_at"]) <= "2023-07-06T23:59:59+00:00"
