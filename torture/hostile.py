"""Texts that are given as names by people who mean harm, and by those who merely live elsewhere."""

import unicodedata
from random import Random

_SQL = (
    "'; DROP TABLE signals; --", "BTC' OR '1'='1", 'BTC"; select 1; --', "BTC/**/USDT", "x) union select 1 --",
    "BTC;USDT", "`id`", "$(id)", "${HOME}", "{layer}", "{{layer}}", "%s%n", "{0}", "{symbol.__class__}",
)  # fmt: skip
_PATHS = (
    "..", ".", "...", "../evil", "../../../evil", "a/../../evil", "/evil", "//evil", "a/b/c", "a//b", "a\\b",
    "..\\evil", "C:\\evil", "C:evil", "~", "~root/evil", "%2e%2e%2fevil", "%2f", "BTC%2fUSDT", "BTC%00USDT",
    "file:///evil", "\\\\host\\share", "s3://evil/{layer}", "http://127.0.0.1:1/evil", "./.", "evil/", "evil/.",
    ".hidden", "_staging", "_locks", "_hashes", "evil\u2215x", "evil\uff0fx",
)  # fmt: skip
_GLOBS = (
    "*", "BTC*", "?", "BTC?", "[a-z]", "[", "]", "{a,b}", "**", "!x", "BTC#1", "BTC?x=1", "a&b", "a|b", "a>b",
    "a<b", "^", "$",
)  # fmt: skip
_KEYS = (
    "=", "a=b", "year=2024", "symbol=BTC/year=1", "==", "a=b=c", "--lake", "-x", "--help", "-", "@file", ":",
    "a:b", "2024-01-01", "null", "None", "NaN", "true", "0", "-1", "1e999", "[1]", "{}", '"', "'", "''", '""', "",
)  # fmt: skip
_RESERVED = (
    "CON", "con", "Nul", "nul", "PRN", "AUX", "COM1", "LPT9", "NUL.txt", "CON ", "COM¹", "CONIN$", "CLOCK$",
    "desktop.ini",
)  # fmt: skip
_CONTROL = (
    "BTC\0USDT", "\0", "BTC\nUSDT", "BTC\r\nUSDT", "BTC\tUSDT", "\x1b[31mBTC\x1b[0m", "\x1b]0;evil\x07", "BTC\x7f",
    "BTC\x85USDT", "BTC\u2028USDT", "BTC\u200bUSDT", "BTC\u200dUSDT", "\u202eTDSUCTB", "\u2066BTC\u2069",
    "\ufeffBTC", "BTC\u00ad", "BTC\ufffe", "\ud800", "BTC\udcff", " BTC", "BTC ", "\u00a0BTC", "\u3000",
)  # fmt: skip
_SCRIPTS = (
    "币安人生USDT",
    "ビットコイン",
    "비트코인",
    "بيتكوين",
    "ביטקוין",
    "Биткоин",
    "বিটকয়েন",
    "बिटकॉइन",
    "ก็",
    "Ἑλλάς",
    "ღვინო",
    "🚀",
    "🚀USDT",
    "👨‍👩‍👧",
    "١٢٣",
    "Ⅷ",
    "²",
    "①",
    "ＢＴＣ",
    "𝔹𝕋ℂ",
    "ﬁ",
    "ǅ",
    "ß",
    "ẞ",
    "SS",
    "ı",
    "İ",
    "I",
    "K",
    "K",
    "Å",
    "Å",
    "Å",
    "ſ",
    "S",
    "µ",
    "Μ",
    "ς",
    "Σ",
    "ŉ",
    "é",
    "e\u0301",
    "É",
    "E\u0301",
    "ͅ",
    "ᾳ",
    "ΑΙ",
    "Ꭰ",
    "ꭰ",
    "ა",
    "Ა",
    "ɐ",
    "Ɐ",
    "ᲀ",
    "В",
)
GROUPS = (_SQL, _PATHS, _GLOBS, _KEYS, _RESERVED, _CONTROL, _SCRIPTS)
#: What must not reach a terminal or a log as it is: it moves the cursor, or turns the text around.
RAW = frozenset(
    map(chr, [*range(9), 11, 12, *range(14, 32), 0x7F, 0x85, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)


def name(random: Random) -> str:
    """One text: from the lists, changed a little, very long, or of random characters."""
    text = random.choice(random.choice(GROUPS))
    chance = random.random()
    if chance < 0.45:
        return text
    if chance < 0.55:
        return f"BTC{text}USDT"
    if chance < 0.65:
        return (text or "A") * random.choice((2, 30, 300))
    if chance < 0.75:
        return unicodedata.normalize(random.choice(("NFC", "NFD", "NFKC", "NFKD")), text)
    if chance < 0.85:
        return random.choice((str.lower, str.upper, str.swapcase, str.casefold, str.title))(text)
    if chance < 0.9:
        return random.choice(
            (
                "A" * 64,
                "A" * 65,
                "A" * 300,
                "É" * 32,
                "É" * 33,
                "币" * 21,
                "币" * 22,
                "a_" * 40,
                "_",
                "__",
                "_a",
                "a_",
                "A__B",
            )
        )
    return "".join(chr(_point(random)) for _ in range(random.randint(1, 12)))


def _point(random: Random) -> int:
    return random.choice(
        (
            random.randrange(1, 128),
            random.randrange(128, 0x600),
            random.randrange(0x600, 0xD800),
            random.randrange(0xE000, 0x20000),
        )
    )
