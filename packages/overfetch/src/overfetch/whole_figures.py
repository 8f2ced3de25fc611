"""Which words and signs are of one figure with the number beside them, be there a space or a mark between or not.

All that changes the number is: million, dozen, per cent, a fraction, "x 10"; so are currencies by sign or code, and
degrees. A word for what is counted or measured (people, kilograms, days, dollars) is like any other: there a quote may
end.
"""

import re

NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    "|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
)
MAGNITUDES = (
    "hundreds?|thousands?|(?:m|b|tr)illions?|dozens?|lakhs?|crores?|mln|mn|bn|tn"  # and what other languages say
    "|hundert|tausend|[mb]illionen|milliarden?|mio|mrd|mil|mille|milliards?|millón|millones|mila|milion[ei]|miliard[oi]"
    "|milhão|milhões|bilhões|miljoen|miljard"
)
SHARES = "per ?cent|percentage points?|pct|basis points?|bps|prozent|procent|pour cent|por cien?to|per cento"
CODES = (
    "USD|EUR|GBP|JPY|CNY|RMB|CHF|INR|KRW|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|BRL|MXN|ZAR|SGD|HKD|TWD|THB|IDR"
    "|ILS|RUB|UAH|AED|SAR|Rs|kr|zł|Kč"
)
SIGNS = "[$¢-¥֏؋৲৳฿៛₠-⃀]"
BETWEEN = r"[*_'\\~ ]{0,6}"  # as Markdown and LaTeX set them; all quotation marks are one
BEGINS, ENDS = r"(?<![^\W_])", r"(?![^\W_])"
UNIT = (
    rf"{SIGNS}(?!\d)|[%‰°¼-¾⅐-⅞]|\d+[/⁄]\d|[十百千万萬亿億兆円元圆圓천만억조원]+"
    rf"|(?:(?i:{MAGNITUDES}|{SHARES})|{CODES}|[kKmMB]|x(?: ?\d+)?){ENDS}"
)
# Of all that overlap: 5 thousand million €.
FIGURE = re.compile(
    rf"(?=((?:\d|{BEGINS}(?i:{NUMBERS}|{MAGNITUDES}){ENDS}){BETWEEN}(?:{UNIT})|(?:{BEGINS}(?:{CODES})\.?|{SIGNS}){BETWEEN}\d))"
)
LONGEST = 40


def parts_figure(text: str, place: int) -> bool:
    """Whether a cut at `place` parts a number from what is of one figure with it.

    >>> parts_figure("5 million people", 1), parts_figure("5 million people", 9)
    (True, False)
    """
    around = FIGURE.finditer(text, max(0, place - LONGEST), place + LONGEST)
    return any(found.start() < place < found.end(1) for found in around)
