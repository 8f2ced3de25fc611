"""How questions about tickers are read: symbols and names lead, then what they say of country, size and exchange.

Of the bearers of one symbol come first those that have it in the United States, then the large, then the other
companies; what is no common share comes last.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from overfetch import AnyOf, DateRange, Focus, Understood, absence, compared, unheard, without_unwanted
from paiddaily.names import KNOWN, LOOKED_AT, absent, bare_name, called, having, named, near_keys, run_keys, words_of

LARGE = AnyOf(field="size", values=("Mega Cap", "Large Cap"))
COMMON = AnyOf(field="share", values=("common",))
DATED = DateRange(field="updated", start=datetime(1900, 1, 1, tzinfo=UTC))
CRYPTO = AnyOf(field="asset_class", values=("crypto",))
# How far each leads.
LISTING, US, LARGE_NAME, LARGE_SYMBOL, NAME, SYMBOL, PART, NEAR, SCOPE = 9, 8, 7, 6, 5, 4, 3, 2, 1
MOST_TOLD, TOLD = 3, {"country": "countries", "size": "sizes", "markets": "exchanges"}

ASKED = re.compile(r"\b(?:[Tt]icker|[Ss]ymbol) \$?([A-Z0-9]{1,6}|[a-z]{1,6}$)(?!\w)")
US_WRITTEN = re.compile(r"(?<![\w.])U\.?S\.?(?!\w)|(?<=\b[Tt]he )us\b|(?<=\b[Ii]n )us\b(?! dollars?)|\bus(?=[ -]list)")
CAPITALS = re.compile(r"(?=.*[A-Z])[A-Z0-9^/-]{2,5}")
NO_VOWEL = re.compile(r"[^\W\d_aeiouy]{3,5}", re.IGNORECASE)


class Symbol(NamedTuple):
    """A symbol in a question, or a `listing` with its exchange; `outright`: it can be nothing else."""

    name: str
    outright: bool
    listing: bool = False


def understand_tickers(question: str, _day: date) -> Understood:
    """Symbols and names by their keys, and the companies that the question bounds itself to.

    >>> understand_tickers("small cap german solar companies", date(2026, 1, 1)).notes
    ('Germany', 'Small Cap')
    >>> understand_tickers("$TSLA", date(2026, 1, 1)).focuses[0].missing
    'no symbol TSLA'
    >>> understand_tickers("gold miners, not in Canada", date(2026, 1, 1)).text
    'gold miners'
    >>> understand_tickers("banks with a strong pre-earnings setup", date(2026, 1, 1)).text[:40]
    'banks with a forecasts keep rising, stra'
    """
    wanted, unwanted = without_unwanted(question.strip(), _is_scope)
    lower = _lower(looked_at := wanted[:LOOKED_AT])
    scope = _scope(lower, _lower("".join(f"the {one} " for one in unwanted)))
    told = tuple(map(_told, scope))
    # As what it means is written; without regions: a company is called Asia Fiber wherever it is.
    is_whole = KNOWN.said("countries", lower) or wanted.istitle()
    wider = (not is_whole and KNOWN.without("regions", wanted).strip()) or wanted
    text = next(iter(KNOWN.instead("meant", lower).values()), wider)
    name = looked_at if " " in looked_at or not unwanted else ""  # one word that is left is none
    symbols, words = list(_symbols(name))[:3], bare_name(name)
    focuses = [
        *(focus for symbol in symbols for focus in _bearers(symbol)),
        *_names(name, outright=any(symbol.outright for symbol in symbols)),
        *_scoped(KNOWN.without("regions", lower), scope, told),
        # Of some day: records that bear none have no such figures.
        *(absence(f"no {k} ('{m[0]}'): no record bears a date", DATED) for k, m in KNOWN.said("daily", lower).items()),
        Focus(conditions=(COMMON,), weight=0.5),
        *unheard(looked_at, KNOWN.knows, called=called),
    ]
    named = (*(symbol.name for symbol in symbols), *([" ".join(words)] if 0 < len(words) <= 6 else []))
    return Understood(text=text, focuses=tuple(focuses[:32]), named=named, notes=told)


def _lower(text: str) -> str:
    """In small letters, where the United States would be taken for a pronoun."""
    return US_WRITTEN.sub("usa", text).lower()


def _is_scope(what: str) -> bool:
    return bool(_countries(_lower(f"the {what}")) or KNOWN.said("sizes", what.lower()))


def _bearers(symbol: Symbol) -> Iterator[Focus]:
    """Each symbol's, in the stated order."""
    missing = f"no symbol {symbol.name}" if symbol.outright else None
    if symbol.listing:
        yield from having(f"listing:{symbol.name}", leads=LISTING, missing=missing)
        return
    at_home, anywhere = f"us:{symbol.name}", f"symbol:{symbol.name}"
    yield from having([at_home, anywhere], leads=NEAR, missing=missing)
    yield from having(at_home, COMMON, leads=US)
    yield from having(anywhere, COMMON, LARGE, leads=LARGE_SYMBOL)
    yield from having(anywhere, COMMON, leads=SYMBOL)
    yield from having(anywhere, CRYPTO, leads=US)


def _symbols(text: str) -> Iterator[Symbol]:
    """With `$`, with an exchange's suffix, after `ticker`, in capital letters, or alone."""
    bare = bare_name(text)
    alone, shouted = len(bare) == 1 and text.isascii(), len(bare) > 1 and text.isupper()
    asked = {found[1].upper() for found in ASKED.finditer(text)}
    for dollar, base, suffix in re.findall(KNOWN.table("names.token"), text):
        upper, lower, exchange = base.upper(), base.lower(), suffix.upper()
        listed = len(base) > 1 and (base.isupper() or base.isdigit() or len(bare) < 4)
        word = upper in KNOWN.words("names.acronyms")
        whole = text == base and (base.isupper() or not base.isalnum())
        short = (alone and lower == bare[0] and len(base) <= 6) or (CAPITALS.fullmatch(base) and not (word or shouted))
        rare = NO_VOWEL.fullmatch(base) and len(bare) == 2 and lower in bare and not word
        if exchange in KNOWN.table("suffixes") and (listed or (alone and bare[0].startswith(lower))):
            yield Symbol(f"{upper}.{exchange}", outright=True, listing=True)
        elif dollar or upper in asked or rare:
            yield Symbol(upper, outright=not upper.isdigit())
        elif whole or (short and lower in bare):  # not what stands beside a name, such as its legal form
            yield Symbol(upper, outright="^" in base)


def _names(text: str, *, outright: bool) -> Iterator[Focus]:
    """Companies and coins of this name, in part, or with a letter wrong; and those named among other words."""
    words, said = bare_name(text), words_of(text)
    for one in [] if KNOWN.said("industries", text.lower()) else compared(text):  # no `gold vs silver miners`
        name = called("".join(bare_name(one)))
        yield from [Focus(conditions=(name, COMMON, LARGE), leads=US + 1), Focus(conditions=(name, COMMON), leads=NAME)]
    # As it is written, however long; not of `bank on the Faroe Islands` the bank.
    yield from having([f"name:{''.join(named(text))}"] * (len(said) == 2 or len(named(text)) > 1), leads=US)
    if 0 < len(words) <= 6:
        yield from _whole_name(text, words)
        if missing := None if outright else _missing_name(text, words):
            keys = [*called("".join(words)).values, *near_keys(words)]
            coins = [CRYPTO] if "coins" in KNOWN.said("signs", text.lower()) else []
            yield from absent(missing, words, keys, *coins)
    yield from having([*run_keys(said), *run_keys(said, "also")], weight=0.7)


def _whole_name(text: str, words: Sequence[str]) -> Iterator[Focus]:
    # In capital letters, one word is a symbol before it is a name.
    name, symbol = "".join(words), text.isupper() and " " not in text
    yield from having(f"name:{name}", COMMON, LARGE, leads=LARGE_NAME if symbol else US + 1)
    yield from having(f"name:{name}", COMMON, leads=PART if symbol else LARGE_NAME)
    yield from having(f"name:{name}", leads=NEAR)
    yield from having(f"also:{name}", COMMON, leads=NAME)
    yield from having(f"part:{name}", COMMON, LARGE, leads=NAME)
    yield from having(f"part:{name}", COMMON, leads=PART)
    yield from having(near_keys(words), COMMON, leads=NEAR, unless=None if words[1:] else words[0])


def _missing_name(text: str, words: Sequence[str]) -> str | None:
    """What is to be said where nothing has that name, unless the words may be meant otherwise."""
    said = " ".join(words)
    signs = KNOWN.said("signs", text.lower())
    one = len(words) == 1 and "thing" not in KNOWN.said("signs", said) and not said.isdigit()
    is_name = (one or "named" in signs) and "brand" not in signs and not KNOWN.said("industries", said)
    return f"nothing that is called '{said}'" if is_name else None


def _scope(text: str, unwanted: str) -> list[AnyOf]:
    """Countries (all others, where some are left out), sizes, exchanges, coins."""
    left_out = _countries(unwanted)
    signs = KNOWN.said("signs", text)
    places = KNOWN.without("suffixes", text) if "listed" in signs else text  # an exchange's city says no country
    named = _countries(places, "cities") or (KNOWN.table("countries") if left_out else ())
    found: dict[str, Sequence[str]] = {
        "country": [country for country in named if country not in left_out],
        "size": [*KNOWN.said("sizes", text)] or KNOWN.others("sizes", unwanted),
        "markets": [*KNOWN.said("suffixes", text)] if "listed" in signs else (),
        "asset_class": [*KNOWN.said("classes", text)] if "coins" in signs else (),
    }
    return [AnyOf(field=field, values=tuple(values)) for field, values in found.items() if values]


def _countries(text: str, *tables: str) -> list[str]:
    """Those that are named, by themselves, by region, or in further tables."""
    named = [one for table in ("countries", *tables) for one in KNOWN.said(table, text)]
    members = (KNOWN.table("members")[region] for region in KNOWN.whole("regions", text))
    return list(dict.fromkeys([*named, *(country for region in members for country in region)]))


def _told(bound: AnyOf) -> str:
    return " or ".join(bound.values) if len(bound.values) <= MOST_TOLD else f"{len(bound.values)} {TOLD[bound.field]}"


def _scoped(text: str, scope: Sequence[AnyOf], told: Sequence[str]) -> Iterator[Focus]:
    """What meets the conditions leads, in the words of business too; the same industry or size is raised among it."""
    none = f"nothing in {', '.join(told)}" if scope else None
    everyday = [said for both in KNOWN.instead("everyday", text).items() for said in both]
    few = bool(scope) and scope[0].field == "country" and len(scope[0].values) <= MOST_TOLD
    # And by its exchange, where records often lack the country.
    homes = [home for country in scope[0].values for home in KNOWN.table("home").get(country, ())] if few else []
    for bounds in (tuple(scope), *((AnyOf(field="markets", values=(home,)), *scope[1:]) for home in homes)):
        for said in [None, *everyday] if scope else everyday:
            yield Focus(conditions=bounds, text=said, weight=1 + bool(said), leads=SCOPE if scope else 0, missing=none)
        for field, table in (("kinds", "industries"), ("size", "about")):
            if values := tuple(KNOWN.said(table, text)):
                yield Focus(conditions=(*bounds, AnyOf(field=field, values=values)), weight=1.0 if scope else 0.5)
        # Of what a profile never fails to name, a country may have nothing.
        for words, m in KNOWN.said("subjects", text).items() if few else ():
            yield Focus(conditions=bounds[:1], text=words, worded=True, missing=f"nothing about '{m[0]}' in {told[0]}")
