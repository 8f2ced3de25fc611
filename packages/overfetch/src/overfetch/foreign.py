"""What an answer may not bring along: pictures, links to addresses that are not in the sources, HTML."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import unescape

from overfetch.markers import MARKERS, replace_outside_code
from overfetch.types import Retrieval

# Without one of these there is nothing to look for.
SIGNS = ("<", "](", "]:", "![", "://", "www.")
_ADDRESS = r"(?:(?:https?|ftp)://|www\.)[^\s<>()\[\]\"'`\ufffc]{1,2000}"
_TARGET = r"\((?P<target>(?:[^()\n]|\([^()\n]{0,500}\)){0,2000})\)"
_SCHEMES = "https?|ftp|file|data|javascript|vbscript|mailto"
FOREIGN = re.compile(
    rf"!\[(?P<alt>[^\[\]]{{0,300}})\](?:\((?:[^()\n]|\([^()\n]{{0,500}}\)){{0,2000}}\)|\[[^\[\]]{{0,300}}\])?"
    rf"|\[(?P<link>(?:[^\[\]]|\[[^\[\]]{{0,100}}\]){{1,300}})\]{_TARGET}"
    r"|^[ >]{0,9}\[[^\[\]]{1,300}\]:[ \t]{0,9}(?P<defined>\S{1,2000})[^\n]*"
    # The end of one that the forms above are too strict for, and some reader of Markdown is not.
    rf"|(?P<end>\](?:\(|:))\s{{0,9}}(?P<left><?(?://|(?:{_SCHEMES}):)[^\s()<>]{{0,2000}})"
    rf"|<?(?P<address>{_ADDRESS})>?"
    r"|(?P<comment><!--.{0,2000}?-->)"
    r"|</?(?P<tag>[A-Za-z][^\s/<>]{0,100})(?P<rest>[^<>]{0,2000})>"
    r"|(?P<opening><(?=[A-Za-z/!?]))",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
WEB = re.compile(r"(?:(?:https?:)?//|(?=www\.))([^\s\\]+)", re.IGNORECASE)
PUNCTUATION = ".,;:!?*_"  # of the sentence around an address
LONGEST_REST = 100
END = re.compile(r"[\s\ufffc]")


def without_foreign(answer: str, retrievals: Sequence[Retrieval]) -> tuple[str, str | None]:
    """The answer with the words of pictures and foreign links alone and without HTML; what was taken out of it."""
    if not any(sign in answer for sign in SIGNS):
        return answer, None
    sources = unescape("\n".join(_texts(retrievals)))
    removed: Counter[str] = Counter()

    def replaced(found: re.Match[str]) -> str:
        kept, kind = _replaced(found, sources)
        removed.update([kind] if kind else [])
        within = found["alt"] or found["link"]
        return kept.replace(within, FOREIGN.sub(replaced, within)) if within else kept

    text, _ = replace_outside_code(FOREIGN, replaced, answer)
    listed = ", ".join(f"{number} {kind}{'s' * (number > 1)}" for kind, number in sorted(removed.items()))
    return text, f"taken out of the answer: {listed}" if listed else None


def _replaced(found: re.Match[str], sources: str) -> tuple[str, str | None]:
    """What stands in its place, and what it was called where something went."""
    part = found.groupdict()
    if part["alt"] is not None:
        return part["alt"], "image"
    if part["opening"] is not None:
        return "< ", None  # of a tag that does not end, or that another one's end would have made
    if part["comment"] is not None:
        return " ", "HTML tag"
    if part["tag"] is not None:
        placeholder = part["tag"].isupper() and not part["rest"]  # <FOLDER>
        return f"‹{part['tag']}›" if placeholder else " ", None if placeholder else "HTML tag"
    if _is_known(found, sources):
        return found[0], None
    if part["link"] is not None:
        # A citation stays one.
        return part["link"] if any(map(str.isalpha, part["link"])) else f"[{part['link']}]", "link"
    if part["end"]:
        return f"{part['end'][0]} (link removed)", "link"
    return ("" if part["defined"] else "(link removed)"), "link"


def _is_known(found: re.Match[str], sources: str) -> bool:
    """An address that stands in the sources as it is, or a place on the site that shows the answer.

    Whoever wrote a passage may own its host: what a model could add to the address would be told there.
    """
    address = unescape(_bare(found) or _target(found))
    if any(map(str.isspace, address)):
        return False
    if address.startswith(("/", "#")) and not address.startswith("//"):
        return "\\" not in address
    if (web := WEB.fullmatch(address)) is None:
        return False
    known = web[1] if web[1].startswith("www.") else f"//{web[1]}"
    return re.search(rf"{re.escape(known.removesuffix('/'))}(?![^\W_])", sources) is not None


def _bare(found: re.Match[str]) -> str:
    """An address in running text, with what a viewer might take for a part of it."""
    written = found["address"] or found["left"] or ""
    rest = END.split(found.string[found.end() : found.end() + LONGEST_REST], maxsplit=1)[0]
    within = len(rest) == LONGEST_REST or any(map(str.isalnum, MARKERS.sub("", rest)))
    return f"{written}{rest if within else ''}".rstrip(PUNCTUATION) if written else ""


def _target(found: re.Match[str]) -> str:
    """Of a link as Markdown reads it: in angle brackets a space is a part of it."""
    target = (found["target"] or found["defined"] or "").strip()
    return target[1:-1] if target.startswith("<") and target.endswith(">") else target.partition(" ")[0]


def _texts(retrievals: Sequence[Retrieval]) -> Iterable[str]:
    for passage in (hit.passage for retrieval in retrievals for hit in retrieval.hits):
        yield from (passage.text, passage.breadcrumb, passage.document_id, *map(str, passage.metadata.values()))
