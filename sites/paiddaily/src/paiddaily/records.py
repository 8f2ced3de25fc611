"""A record with fields that questions are matched with, and with the day on which it was known."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from overfetch import Record, humps, period_in
from paiddaily.losses import loss_of
from paiddaily.names import KNOWN, keys_of, named

LOOKED_AT = 2_000  # characters of a text
JOINING = r"(?:&|-|–|and|of|d[aeiou]|d[aeo]s|del|la|y|e)"  # words within a name
SUBJECT = re.compile(rf"(?:(?:[^\W_a-z][^\s,;(]*|\([^\W_a-z][a-z]+\)|{JOINING}(?= )) ?){{1,8}}")
TICKER_IN_TEXT = re.compile(r"\b(?:NYSE|NASDAQ|Nasdaq)(?: Global Select Market)?\s?[:)]\s?“?([A-Z]{1,5})\b")
INCIDENT = "security-incident"
LATER_TEXTS = ("protocol-proposal", "protocol-upgrade")
SIGNED = re.compile(r"^Dated?:?\s+(\w+ \d{1,2}, \d{4})", re.MULTILINE | re.IGNORECASE)
POSTED = re.compile(r"(?:twitter|x)\.com/\w+/status/(\d{15,20})")  # ids count milliseconds, shifted, from 2010 on
POSTS_BEGAN = 1_288_834_974_657


def text_of(record: Record, field: str) -> str:
    return str(record.get(field) or "")


def adapt_ticker(record: Record) -> Record:
    """Sections, or else a summary, become Markdown, with fields that questions are matched with.

    A record without asset class and exchange is a coin, `coin:SYMBOL`: shares may have the same symbol.

    >>> apple = adapt_ticker({"symbol": "APC.HM", "us_symbol": "AAPL", "name": "Apple Inc.", "sector": "Technology"})
    >>> apple["title"], apple["company"], apple["keys"][:3]
    ('Apple Inc. (AAPL)', 'apple', ['us:AAPL', 'symbol:AAPL', 'symbol:APC'])
    >>> adapt_ticker({"_id": "AE", "symbol": "AE", "name": "Aeternity"})["_id"]
    'coin:AE'
    """
    sections = record.get("sections") or []
    text = "\n\n".join(f"## {s['heading']}\n{s['text']}" for s in sections) or record.get("summary", "")
    symbol, own_id = record.get("us_symbol") or record.get("symbol"), record.get("_id") or record.get("symbol")
    coin = not (record.get("asset_class") or record.get("sector") or "exchange" in record)
    other = "^" in text_of(record, "symbol") or "other share" in KNOWN.said("signs", text_of(record, "name").lower())
    return {
        **record,
        "_id": f"coin:{own_id}" if coin else own_id,
        "symbol": symbol,
        "text": text,
        "title": f"{text_of(record, 'name')} ({symbol or ''})",
        "asset_class": record.get("asset_class") or ("crypto" if coin else "equity"),
        "keys": (keys := ticker_keys(record)),
        "company": None if coin else company_of(record),
        "kinds": list(dict.fromkeys(filter(None, map(record.get, ("sector", "industry_group", "industry"))))),
        "size": record.get("market_cap"),
        "share": "other" if other else "common",
        "markets": sorted({key.rpartition(".")[2] for key in keys if re.match(r"listing:.*\.", key)}),
    }


def adapt_catalyst(record: Record) -> Record:
    """The market's shape becomes part of what is read; loss, chain, technique and shape become fields.

    >>> hack = adapt_catalyst({"entity": "KyberSwap", "technique": "Price Manipulation", "loss": "~17 WBNB"})
    >>> hack["loss_amount"], hack["loss_unit"], hack["techniques"], hack["keys"][:2]
    (17.0, ['bnb'], ['price-manipulation'], ['name:kyberswap', 'part:kyberswap'])
    """
    shape, text = text_of(record, "market_shape"), text_of(record, "text")
    amount, unit = loss_of(text_of(record, "loss")) or (None, None)
    incident = record.get("type") == INCIDENT
    return {
        **record,
        "text": f"{text}\n\nMarket shape: {shape}" if shape else _with_sections(record),
        "known_at": record.get("known_at") or known_at(record),
        "keys": event_keys(record),
        "loss_amount": amount,
        "loss_unit": unit or (["unknown"] if incident else None),
        "techniques": features_of("techniques", text_of(record, "technique"), text_of(record, "entity")),
        "chains": features_of("chains", text, *map(str, record.get("links") or ())) if incident else None,
        "active": (record.get("activation") or {}).get("Mainnet"),
        "shape": features_of("shape", shape) if shape else None,
    }


def _with_sections(record: Record) -> str:
    """A proposal's text ends early: what its sections say beyond it."""
    named = sections.items() if isinstance(sections := record.get("sections"), dict) else ()
    told = [f"## {name}\n{section}" for name, section in named if name not in KNOWN.table("records.left_out")]
    return "\n\n".join([text_of(record, "text"), *told])


def subject_of(record: Record) -> str:
    """What the first sentence of its text is about, where that is a name."""
    found = SUBJECT.match(text_of(record, "summary"))
    name = re.sub(rf" {JOINING}$", "", found[0].strip()) if found else ""
    return "" if name.split(" ")[0] in KNOWN.words("records.no_subject") else name


def company_of(record: Record) -> str:
    """The company by the name that its text has for it: the same for all its listings, whatever exchanges call it.

    >>> company_of({"name": "LVMH ADR /2 EO-,30", "summary": "LVMH Moët Hennessy SE is a house."})
    'lvmhmoethennessy'
    >>> company_of({"summary": "Nestlé (Malaysia) Berhad makes food."}), company_of({"summary": "easyJet plc flies."})
    ('nestlemalaysia', '')
    >>> company_of({"name": "Public Joint Stock Company Polyus", "summary": "Public Joint Stock Company Polyus mines."})
    'polyus'
    """
    return "".join(named(subject_of(record)) or named(text_of(record, "name")))


def ticker_keys(record: Record) -> list[str]:
    """All that a ticker is asked for by: `us:` and `symbol:` without, `listing:` with its exchange, and its names.

    >>> ticker_keys({"symbol": "FB.DE", "summary": "Meta makes apps. It was formerly known as Facebook, Inc."})[:4]
    ['symbol:FB', 'listing:FB.DE', 'name:meta', 'part:meta']
    """
    home, own, name = (text_of(record, field) for field in ("us_symbol", "symbol", "name"))
    listings = [str(listing).upper() for listing in (*(record.get("listings") or ()), home, own) if listing]
    at_home = [*filter(None, [home.upper()]), *(listing for listing in listings if "." not in listing)]
    also = re.findall(KNOWN.table("records.also"), text_of(record, "summary")[:LOOKED_AT])
    keys = [
        *(f"us:{symbol}" for symbol in at_home),
        *(f"symbol:{base}" for listing in listings for base in _bases(listing)),
        *(f"listing:{listing}" for listing in (*listings, *(f"{symbol}.US" for symbol in at_home))),
        *keys_of([name, name if " " in name else humps(name), subject_of(record)]),
        *(key.replace("name:", "also:") for key in keys_of(also)),
    ]
    return list(dict.fromkeys(keys))


def _bases(listing: str) -> Iterator[str]:
    """`HM-B.ST` is asked for as HM-B, HMB and HM."""
    yield (base := listing.rpartition(".")[0] or listing)
    if parts := re.split(r"[-^/]", base)[1:]:
        yield base.replace("-", "")
        if len(parts[0]) == 1 and "^" not in base:
            yield re.split(r"[-/]", base)[0]


def event_keys(record: Record) -> list[str]:
    """Who an event is about: of proposals all have one entity, their number is what tells them apart."""
    if number := re.fullmatch(r"eip-(\d{1,6})", text_of(record, "_id")):
        return [f"eip:{int(number[1])}"]
    entity, symbol = text_of(record, "entity"), text_of(record, "symbol").upper()
    symbols = [*filter(None, [symbol]), *TICKER_IN_TEXT.findall(text_of(record, "text")[:LOOKED_AT])]
    return [*(f"symbol:{one}" for one in dict.fromkeys(symbols)), *keys_of([entity, humps(entity)])]


def known_at(record: Record) -> str | None:
    """The day by whose end an event was public, or None where nothing says: no `as_of` shows it then.

    An incident is known with the first post that it links to, a filing whose date is that of what it reports when it
    was signed: both in a week, where that is not told.

    >>> known_at({"type": "8k", "date": "2023-02-13", "date_source": "file name", "text": "Date: February 15, 2023"})
    '2023-02-15'
    >>> known_at({"type": "security-incident", "date": "2023-02-13"}), known_at({"date": "2023-02-13"})
    ('2023-02-20', '2023-02-13')
    """
    kind, source, day = (text_of(record, name) for name in ("type", "date_source", "date"))
    if kind in LATER_TEXTS or source == "first date in text" or not day:
        return None
    if kind != INCIDENT and source != "file name":
        return day
    happened = date.fromisoformat(day[:10])
    return str(min((max(happened, told) for told in _reports(record, happened)), default=happened + timedelta(weeks=1)))


def _reports(record: Record, day: date) -> Iterator[date]:
    """When it was reported, by its own words and links."""
    for signed in SIGNED.findall(text_of(record, "text"))[-1:]:
        if period := period_in(signed, day):
            yield period.first
    for number in POSTED.findall(" ".join(map(str, record.get("links") or ()))):
        yield datetime.fromtimestamp(((int(number) >> 22) + POSTS_BEGAN) / 1000, UTC).date()


def features_of(table: str, *texts: str) -> list[str]:
    """Names of the vocabulary's table of which the texts speak."""
    return list(KNOWN.said(table, " ".join(texts)[:LOOKED_AT].lower().replace("_", " ")))
