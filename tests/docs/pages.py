"""The pages of the documentation, and the blocks of code in them.

A comment above a block says how it is run, where it is not simply run in the page's folder, in order:

    <!-- not run: needs docker -->            never; the reason must be given
    <!-- run with the real archive -->        the exchange's files of the shared data stand for the public archive
    <!-- run with an S3 store -->             the tests' server stands for http://127.0.0.1:9000
    <!-- run with a record -->                in this process, in a folder whose lake has a record of BTCUSDT 4h; its
                                              head stands for 4b1f…: see test_record_pages.py
"""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENGLISH, FRENCH = "README.md", "README.fr.md"  # the French one shows the same blocks: see test_readmes.py
PAGES = sorted(
    str(path.relative_to(PROJECT))
    for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"))
    if path.name != FRENCH
)

SHOWN = frozenset({"text", "json", "{toctree}"})  # never run: output, drawings
RUN = frozenset({"sh", "python", "toml"})
REAL_ARCHIVE = "run with the real archive"
S3_STORE = "run with an S3 store"
RECORD = "run with a record"
NOT_RUN = "not run: "

_FENCE = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*) -->\n)?^(?P<ticks>`{3,})(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=ticks)$", re.M | re.S
)
_COMMENT = re.compile(r"(?:^|\s+)#.*$", re.M)


@dataclass(frozen=True)
class Block:
    """One fenced block, the comment above it, and the line it begins on."""

    language: str
    text: str
    marker: str
    line: int

    @property
    def not_run(self) -> bool:
        return self.marker.startswith(NOT_RUN)

    @property
    def without_comments(self) -> str:
        """What it does, in whatever language it is explained."""
        return "\n".join(line.rstrip() for line in _COMMENT.sub("", self.text).splitlines() if line.strip())


def text(page: str) -> str:
    return (PROJECT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    whole = text(page)
    return [
        Block(
            found["language"].strip(),
            found["text"],
            (found["marker"] or "").strip(),
            whole.count("\n", 0, found.start("ticks")) + 1,
        )
        for found in _FENCE.finditer(whole)
    ]


def prose(page: str) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", text(page))
