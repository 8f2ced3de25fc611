"""What a record says of itself in fields that questions are matched with: keys, companies, losses, features."""

import re
from collections.abc import Iterator

from overfetch import Record
from paiddaily.names import humps, keys_of, named
from paiddaily.vocabulary import said

LOOKED_AT = 2_000  # characters of a text
SUBJECT = re.compile(r"(?:(?:[^\W_a-z][^\s,;(]*|&|-|–|and|of|de|du|la|y|e) ?){1,8}")
NO_SUBJECT = ("The", "This", "It", "As", "In", "An", "A", "On", "Formerly", "Through", "No")
OTHER_NAMES = re.compile(
    r"(?:formerly|previously|now|also) known as ([^;()]{2,80}?)(?:,| and changed| until| in \d|\. |\.$|;|$)"
)
TICKER_IN_TEXT = re.compile(r"\b(?:NYSE|NASDAQ|Nasdaq)(?: Global Select Market)?\s?[:)]\s?“?([A-Z]{1,5})\b")
OTHER_SHARE = re.compile(
    r"preferred|preference|\bpref\b|\bpfd\b|notes due|debenture|warrant|\bunits?\b|\brights?\b|\d% |leverage|[-+]?\dx\b"
    r"|certificate|\bet[cp]\b|depositary shares each",
    re.IGNORECASE,
)
DOLLARS = ("usd", "us", "usdt", "usdc", "busd", "busdt", "dai", "dollars", "tusd", "usds")
AMOUNT = re.compile(
    r"(\$)?\s?(\d[\d,]*(?:\.\d+)?|\.\d+)\s?((?:[kmb]|thousand|million|billion|mn|bn)\b)?\s?\$?([a-z][a-z0-9]{1,9})?"
)
FACTORS = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9}


def own_names(record: Record) -> list[str]:
    """Its name and what its text calls it.

    >>> own_names({"name": "FB INC. DL-,01", "summary": "Meta, Inc. makes apps."}), own_names({"name": "TrueUSD"})
    (['FB INC. DL-,01', 'Meta'], ['TrueUSD', 'True USD'])
    """
    name, subject = str(record.get("name", "")), subject_of(str(record.get("summary") or ""))
    return list(dict.fromkeys(filter(None, [name, name if " " in name else humps(name), subject])))


def other_names(record: Record) -> list[str]:
    """Former names, and those that its text gives beside its own.

    >>> other_names({"summary": "Meta, Inc. makes apps. It was formerly known as Facebook, Inc. until 2021."})
    ['Facebook']
    """
    text = str(record.get("summary") or "")[:LOOKED_AT]
    return [found[1] for found in OTHER_NAMES.finditer(text)]


def subject_of(text: str) -> str:
    """What the first sentence is about, where that is a name."""
    found = SUBJECT.match(text)
    name = found[0].strip() if found else ""
    return "" if name.split(" ")[0] in NO_SUBJECT else re.sub(r" (?:and|of|de|du|la|y|e|-|–|&)$", "", name)


def company_of(record: Record) -> str:
    """The company by the name that its text has for it: the same for all its listings, whatever exchanges call it.

    >>> company_of({"name": "LVMH ADR /2 EO-,30", "summary": "LVMH Moët Hennessy SE is a house."})
    'lvmhmoethennessy'
    """
    subject = subject_of(str(record.get("summary") or ""))
    return "".join(named(subject) or named(str(record.get("name", ""))))


def ticker_keys(record: Record) -> list[str]:
    """All that a ticker is asked for by: `us:` and `symbol:` without, `listing:` with its exchange, and its names."""
    own = [str(record.get("us_symbol") or ""), str(record.get("symbol") or "")]
    listings = [str(listing).upper() for listing in [*(record.get("listings") or ()), *own] if listing]
    bases = list(dict.fromkeys(base for listing in listings for base in _bases(listing)))
    at_home = [own[0].upper(), *(listing for listing in listings if "." not in listing)]
    keys = [*(f"us:{s}" for s in dict.fromkeys(filter(None, at_home))), *(f"symbol:{b}" for b in bases)]
    keys += [f"listing:{listing}" for listing in dict.fromkeys(listings)]
    others = [key.replace("name:", "also:") for key in keys_of(other_names(record))]
    return list(dict.fromkeys([*keys, *keys_of(own_names(record)), *others]))


def _bases(listing: str) -> Iterator[str]:
    """`HM-B.ST` is asked for as HM-B, HMB and HM."""
    base = listing.rpartition(".")[0] or listing
    yield base
    if parts := re.split(r"[-^/]", base)[1:]:
        yield base.replace("-", "")
        if len(parts[0]) == 1 and "^" not in base:
            yield re.split(r"[-/]", base)[0]


def markets_of(record: Record) -> list[str]:
    """Where it is listed, by the letters after the dot."""
    return sorted({str(listing).rpartition(".")[2] for listing in record.get("listings") or () if "." in str(listing)})


def is_common(record: Record) -> bool:
    """Whether it is a company's common share: no preferred one, no note, no warrant, no certificate on another."""
    return "^" not in str(record.get("symbol", "")) and not OTHER_SHARE.search(str(record.get("name", "")))


def event_keys(record: Record) -> list[str]:
    """Who an event is about: of proposals all have one entity, their number is what tells them apart."""
    if number := number_of(record):
        return [f"eip:{number}"]
    entity = str(record.get("entity") or "")
    symbol = str(record.get("symbol") or "").upper()
    tickers = TICKER_IN_TEXT.findall(str(record.get("text", ""))[:LOOKED_AT])
    keys = [f"symbol:{s}" for s in dict.fromkeys([*filter(None, [symbol]), *tickers])]
    return [*keys, *keys_of(dict.fromkeys([entity, humps(entity)]))]


def number_of(record: Record) -> int | None:
    """The number of an improvement proposal."""
    found = re.fullmatch(r"eip-(\d{1,6})", str(record.get("_id", "")))
    return int(found[1]) if found else None


def loss_of(text: str) -> tuple[float, list[str]] | None:
    """An amount and what it is of; dollars where nothing is said, and where they are given beside it.

    >>> loss_of("153,037 ETH (~$30M)"), loss_of("~17 WBNB"), loss_of("1,4M BUSD"), loss_of("Unclear")
    ((30000000.0, ['usd']), (17.0, ['bnb']), (1400000.0, ['usd', 'busd']), None)
    """
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text.lower()[:LOOKED_AT])
    found = [_amount(match) for match in AMOUNT.finditer(text)]
    if found and re.search(r"\btokens?\b", text):
        return found[0][0], ["tokens"]
    return next((a for a in found if a[1][0] == "usd"), found[0] if found else None)


def _amount(match: re.Match[str]) -> tuple[float, list[str]]:
    factor, unit = FACTORS[match[3][0]] if match[3] else 1.0, (match[4] or "usd").removeprefix("w")
    units = dict.fromkeys(["usd", *([unit] if unit == "busd" else [])] if match[1] or unit in DOLLARS else [unit])
    return float(match[2].replace(",", "")) * factor, list(units)


def features_of(table: str, *texts: str) -> list[str]:
    """Names of the vocabulary's table of which the texts speak."""
    text = " ".join(texts)[:LOOKED_AT].lower().replace("_", " ")
    return [name for name, _ in said(table, text)]
