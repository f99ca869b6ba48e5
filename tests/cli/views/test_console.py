"""Tables on narrow terminals: words stay whole where they can, and where they cannot, nothing is cut off."""

import pytest

from hermes.cli.views import console

COLUMNS = ("symbol", "newest bar", "", "position", "last signal")
ROWS = [("SIMUSDT 4h", "2025-07-01 08:00:00", "", "flat since 2025-05-15", "sell 2025-06-23 12:00")]
WORDS = {word for text in (*COLUMNS, *ROWS[0]) for word in text.split()}


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, whole: int = 0) -> str:
    monkeypatch.setattr(console.out(), "width", width)
    console.print_rows(COLUMNS, ROWS, "What holds now", whole)
    return capsys.readouterr().out


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("width", [140, 80, 56])
def test_no_word_is_broken_where_the_table_fits_without(width: int, whole: int, monkeypatch, capsys):
    text = printed(monkeypatch, capsys, width, whole)
    assert set(text.split()) == WORDS | {"What", "holds", "now"}
    assert all(len(line) <= width for line in text.splitlines())


def test_a_table_that_cannot_fit_is_shown_as_facts_or_folded(monkeypatch, capsys):
    facts = printed(monkeypatch, capsys, 40, 1)
    assert facts.startswith("What holds now\nSIMUSDT 4h\n newest bar ")
    folded = printed(monkeypatch, capsys, 40)
    assert "…" not in folded  # nothing is cut off
    assert sorted("".join(folded.split())) == sorted("".join((*COLUMNS, *ROWS[0], "Whatholdsnow")).replace(" ", ""))
