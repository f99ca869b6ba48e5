"""Every measure with its formula and source, from the texts in backtest/metrics.py."""

from generator.markdown import attribute_texts, code, paragraphs, table
from hermes.measures import shown_measures
from hermes.stages.backtest import metrics

_TAIL = """
Fees are paid on both sides. Unless `[account]` says otherwise, an account holds the whole equity or nothing, long only.
`close` fills a signal at its own bar's close, `next_open` at the open of the next bar; a signal on the last bar then
stays unfilled.

`tests/stages/backtest/test_vectorbt.py` compares these measures with vectorbt on random markets; `hermes sweep` and
`hermes walkforward` add measures of luck, which are explained on [](../overfitting.md).
"""


def page() -> str:
    """The page."""
    head, symbols, tail = paragraphs(metrics.__doc__).split("\n\n")[1:]
    meaning = {each.name: each.says for each in shown_measures()}
    rows = [(code(name), meaning.get(name, ""), text) for name, text in attribute_texts(metrics.Metrics).items()]
    return "".join([
        "# Measures\n\n", head, "\n\n",
        table(("symbol", "is"), [line.split(maxsplit=1) for line in symbols.splitlines()]), "\n", tail,
        " What is undefined (no trade, no deviation) is null, never 0 or infinite.\n\n",
        table(("name", "says", "formula and source"), rows), _TAIL,
    ])  # fmt: skip
