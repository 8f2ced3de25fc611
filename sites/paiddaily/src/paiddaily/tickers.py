"""How questions about tickers are read: symbols and names lead, then what they say of country, size and exchange.

Of the bearers of one symbol come first those that have it in the United States, then the large, then the other
companies; what is no common share comes last.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from overfetch import AnyOf, DateRange, Focus, Understood
from paiddaily.asking import LOOKED_AT, among_keys, bare_name, near_keys, run_keys
from paiddaily.names import words_of
from paiddaily.vocabulary import said, vocabulary, words_beside_names

LARGE = AnyOf(field="size", values=("Mega Cap", "Large Cap"))
COMMON = AnyOf(field="share", values=("common",))
DATED = DateRange(field="updated", start=datetime(1900, 1, 1, tzinfo=UTC))
CRYPTO = AnyOf(field="asset_class", values=("crypto",))
# How far each leads.
LISTING, US, LARGE_NAME, LARGE_SYMBOL, NAME, SYMBOL, PART, NEAR, SCOPE = 9, 8, 7, 6, 5, 4, 3, 2, 1

TOKEN = re.compile(r"(?<![\w.])(\$?)([A-Za-z0-9]{1,12}(?:[-^/][A-Za-z]{1,3})?)(?:\.([A-Za-z]{1,3}))?(?![\w.]\w)")
ASKED = re.compile(r"\b(?:[Tt]icker|[Ss]ymbol) \$?([A-Z0-9]{1,6}|[a-z]{1,6}$)(?!\w)")
ASKED_NAME = re.compile(r"(?<!\w)(?:stock|shares?|share price|ticker|stock price|coin|crypto|ipo)\W*$", re.IGNORECASE)
BY_BRAND = re.compile(r"(?<!\w)(?:parent|owns?|owners?|owned|makers?|makes?)(?!\w)", re.IGNORECASE)
US_WRITTEN = re.compile(r"(?<!\w)(?:US|U\.S\.)(?!\w)")
NEGATED = re.compile(
    r"(?P<comma>[,;] ?)?(?<!\w)(?:(?P<strong>without|except(?: for)?|excluding|other than)|but no|not?|non|outside|ex)"
    r"[\s-](?P<what>[^,;:.?!]{2,60})",
    re.IGNORECASE,
)
LISTED = re.compile(r"(?<!\w)(?:listed|quoted|traded|trading|trades?|listings?)(?!\w)")
NOUN = re.compile(r"(?:ers|ors|ies|ing|ments?|tions?|ics|ures|ity|ware|tech|ists?|ants)$")
# Coins are what is asked for where a question begins or ends with them.
COINS = re.compile(
    r"^\W*(?:\w+\W+){0,2}(?:coins?|cryptos?|cryptocurrenc\w+|stablecoins?|altcoins?|memecoins?|tokens)(?!\w)"
    r"|(?<!\w)(?:coins?|cryptos?|cryptocurrenc\w+|stablecoins?|altcoins?)\W*$"
)

VOWELS = frozenset("aeiouy")


class Symbol(NamedTuple):
    """A symbol in a question; `outright`: it can be nothing else."""

    base: str
    suffix: str
    outright: bool

    @property
    def listing(self) -> str:
        return f"{self.base}.{self.suffix}" if self.suffix else self.base


class Scope(NamedTuple):
    """Conditions on companies, and in words what they are."""

    conditions: tuple[AnyOf, ...] = ()
    told: tuple[str, ...] = ()


def understand_tickers(question: str, _day: date) -> Understood:
    """Symbols and names by their keys, and the companies that the question bounds itself to.

    >>> understand_tickers("small cap german solar companies", date(2026, 1, 1)).notes
    ('Germany', 'Small Cap')
    >>> understand_tickers("$TSLA", date(2026, 1, 1)).focuses[0].missing
    'no symbol TSLA'
    >>> understand_tickers("gold miners, not in Canada", date(2026, 1, 1)).text
    'gold miners'
    """
    wanted, unwanted = _apart(question.strip())
    looked_at = wanted[:LOOKED_AT]
    lower = _lower(looked_at)
    countries = _countries(lower, unwanted)
    scope = _scope(lower, countries)
    symbols = list(_found_symbols(looked_at))[:3]
    outright = any(symbol.outright for symbol in symbols)
    focuses = [*_symbols(symbols), *_names(looked_at, outright), *_scoped(lower, scope), *_subjects(lower, countries)]
    focuses += _figures(lower)
    focuses.append(Focus(conditions=(COMMON,), weight=0.5))
    words = bare_name(looked_at)
    named = (*(symbol.listing for symbol in symbols), *([" ".join(words)] if 0 < len(words) <= 6 else []))
    return Understood(text=wanted, focuses=tuple(focuses[:32]), named=named, notes=scope.told)


def _apart(question: str) -> tuple[str, str]:
    """What is asked for, and what is left out of it: a place, or what follows a comma or `without`."""
    wanted, unwanted = question, list[str]()
    for found in NEGATED.finditer(question[:LOOKED_AT]):
        what = _lower(found["what"])
        if found["comma"] or found["strong"] or _named_countries(what):
            wanted = wanted.replace(found[0], "")
            unwanted.append(what)
    return (wanted.strip(), " ".join(unwanted)) if len(wanted.split()) > 1 else (question, "")


def _lower(text: str) -> str:
    """In small letters, where the United States would be taken for a pronoun."""
    return US_WRITTEN.sub("usa", text).lower()


def _symbols(symbols: Sequence[Symbol]) -> Iterator[Focus]:
    """Each symbol's bearers, in the stated order."""
    for symbol in symbols:
        missing = f"no symbol {symbol.listing}" if symbol.outright else None
        if symbol.suffix:
            yield Focus(conditions=(among_keys(f"listing:{symbol.listing}"),), leads=LISTING, missing=missing)
            continue
        at_home, anywhere = among_keys(f"us:{symbol.base}"), among_keys(f"symbol:{symbol.base}")
        yield Focus(conditions=(among_keys(at_home.values, anywhere.values),), leads=NEAR, missing=missing)
        yield Focus(conditions=(at_home, COMMON), leads=US)
        yield Focus(conditions=(anywhere, COMMON, LARGE), leads=LARGE_SYMBOL)
        yield Focus(conditions=(anywhere, COMMON), leads=SYMBOL)
        yield Focus(conditions=(anywhere, CRYPTO), leads=US)


def _found_symbols(text: str) -> Iterator[Symbol]:
    """With `$`, with an exchange's suffix, after `ticker`, in capital letters, or alone."""
    suffixes, bare = vocabulary("suffixes"), bare_name(text)
    alone = len(bare) == 1 and text.isascii()
    shouted = text.isupper() and len(bare) > 1
    asked = {found[1].upper() for found in ASKED.finditer(text)}
    for dollar, base, suffix in TOKEN.findall(text):
        upper = base.upper()
        only = alone and bare[0].startswith(base.lower())
        if suffix and suffix.upper() in suffixes and (only or (len(base) > 1 and (_is_code(base) or len(bare) < 4))):
            yield Symbol(upper, suffix.upper(), outright=True)
        elif dollar or upper in asked or (len(bare) == 2 and base.lower() in bare and _has_no_vowel(base)):
            yield Symbol(upper, "", outright=not upper.isdigit())
        elif base.lower() not in bare:  # what stands beside a name, such as its legal form
            continue
        elif (alone and base.lower() == bare[0] and len(base) <= 6) or (not shouted and _looks_like_one(base)):
            yield Symbol(upper, "", outright=False)


def _is_code(word: str) -> bool:
    return word.isupper() or word.isdigit()


def _looks_like_one(word: str) -> bool:
    return word.isupper() and 1 < len(word) <= 5 and word not in words_beside_names("acronyms")


def _has_no_vowel(word: str) -> bool:
    return (
        3 <= len(word) <= 5
        and word.isalpha()
        and not VOWELS & {*word.lower()}
        and word.upper() not in words_beside_names("acronyms")
    )


def _names(text: str, outright: bool) -> Iterator[Focus]:
    """Companies and coins of this name, in part, or with a letter wrong; and those named among other words."""
    words = bare_name(text)
    if 0 < len(words) <= 6:
        yield from _whole_name(text, words, None if outright else _missing_name(text, words))
    runs = [*run_keys(words_of(text)), *run_keys(words_of(text), "also")]
    yield from [Focus(conditions=(among_keys(runs),), weight=0.7)] if runs else []


def _whole_name(text: str, words: Sequence[str], missing: str | None) -> Iterator[Focus]:
    name = "".join(words)
    named, part = among_keys(f"name:{name}"), among_keys(f"part:{name}")
    symbol = text.isupper() and " " not in text  # in capital letters, one word is a symbol before it is a name
    yield Focus(conditions=(named, COMMON, LARGE), leads=LARGE_NAME if symbol else US + 1)
    yield Focus(conditions=(named, COMMON), leads=PART if symbol else LARGE_NAME)
    yield Focus(conditions=(named,), leads=NEAR)
    yield Focus(conditions=(among_keys(f"also:{name}"), COMMON), leads=NAME)
    yield Focus(conditions=(part, COMMON, LARGE), leads=NAME)
    yield Focus(conditions=(part, COMMON), leads=PART)
    if near := near_keys(words):
        yield Focus(conditions=(among_keys(near), COMMON), leads=NEAR)
    if missing:
        keys = among_keys(
            f"name:{name}", f"also:{name}", f"part:{name}", f"us:{name.upper()}", f"symbol:{name.upper()}", near
        )
        coins = (CRYPTO,) if COINS.search(text.lower()) else ()
        proper = [word for word in words if word not in words_beside_names("generic")] or words
        yield Focus(conditions=(keys, *coins), weight=0.01, missing=missing)
        yield Focus(conditions=coins, text=" ".join(proper), worded=True, weight=0.01, missing=missing)


def _missing_name(text: str, words: Sequence[str]) -> str | None:
    """What is to be said where nothing has that name, unless the words may be meant otherwise."""
    one = len(words) == 1 and not NOUN.search(words[0]) and not words[0].isdigit()
    if not (one or ASKED_NAME.search(text)) or BY_BRAND.search(text) or any(said("industries", " ".join(words))):
        return None
    return f"nothing that is called '{' '.join(words)}'"


def _scope(text: str, countries: list[str]) -> Scope:
    """Countries, sizes, exchanges and coins by their words."""
    conditions = [AnyOf(field="country", values=tuple(countries))] if countries else []
    told = [" or ".join(countries) if len(countries) < 4 else f"{len(countries)} countries"] if countries else []
    tables = {"size": "sizes"}
    tables |= {"markets": "suffixes"} if LISTED.search(text) else {}
    tables |= {"asset_class": "classes"} if COINS.search(text) else {}
    for field, table in tables.items():
        if values := [name for name, _ in said(table, text)]:
            conditions.append(AnyOf(field=field, values=tuple(values)))
            told.append(" or ".join(values))
    return Scope(tuple(conditions), tuple(told))


def _countries(wanted: str, unwanted: str) -> list[str]:
    """Those that are named, by themselves or by region; all others where some are left out."""
    left_out = _named_countries(unwanted)
    named = _named_countries(wanted) or (list(vocabulary("countries")) if left_out else [])
    return [country for country in named if country not in left_out]


def _named_countries(text: str) -> list[str]:
    members = vocabulary("members")
    regional = [country for region, _ in said("regions", text) for country in members[region]]
    return list(dict.fromkeys([*(name for name, _ in said("countries", text)), *regional]))


def _scoped(text: str, scope: Scope) -> Iterator[Focus]:
    """What meets the conditions leads; what says the same in its industry or size is raised among it."""
    if scope.conditions:
        yield Focus(conditions=scope.conditions, leads=SCOPE, missing=f"nothing in {', '.join(scope.told)}")
    for field, table in (("kinds", "industries"), ("size", "about")):
        if values := [name for name, _ in said(table, text)]:
            raised = AnyOf(field=field, values=tuple(values))
            yield Focus(conditions=(*scope.conditions, raised), weight=1.0 if scope.conditions else 0.5)
    for words, match in said("everyday", text):  # the same in the words of business
        yield Focus(conditions=scope.conditions, text=f"{text[: match.start()]}{words}{text[match.end() :]}")
        yield Focus(conditions=scope.conditions, text=words)


def _subjects(text: str, countries: list[str]) -> Iterator[Focus]:
    """Of what a profile never fails to name, a country may have nothing."""
    if not 0 < len(countries) < 4:
        return
    for words, match in said("subjects", text):
        bound = AnyOf(field="country", values=tuple(countries))
        missing = f"nothing about '{match[0]}' in {' or '.join(countries)}"
        yield Focus(conditions=(bound,), text=words, worded=True, missing=missing)


def _figures(text: str) -> Iterator[Focus]:
    """Prices and the like are of some day: records that bear none have no figures."""
    for kind, match in said("figures", text):
        yield Focus(conditions=(DATED,), weight=0.01, missing=f"no {kind} ('{match[0]}'): no record bears a date")
