"""What the steps give back: rows, trades and equity as frames, and how a prompt and a notebook show them."""

import builtins
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hermes
from hermes.errors import HermesError, MissingTable, SettingsError, SourceChanged, UsageError
from hermes.pages import notebook
from hermes.steps.run import Run

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Tree(HTMLParser):
    """Fails where elements do not nest; collects text and the frames' documents."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.frames: list[str] = []
        self.text, self.scripts = "", 0
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.frames += [value for name, value in attrs if name == "srcdoc"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_steps_one_by_one_give_what_the_run_gave(settings: hermes.Settings, finished: Run):
    assert hermes.ingest(settings).written == 0
    assert hermes.refine(settings).written == []
    made = hermes.features(settings)
    assert (made.written, made.rows) == ([], made.frame().height)
    assert_frame_equal(made.lazy().collect(), hermes.read_features(settings).collect())
    signalled = hermes.signals(settings)
    assert signalled.metrics == finished.signalled.metrics
    assert_frame_equal(signalled.frame(), hermes.read_signals(settings).collect())
    assert_frame_equal(signalled.frame().drop("generated_at"), finished.signalled.frame().drop("generated_at"))
    assert hermes.audit(settings, cuts=5).faults == []


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_equity_and_trades_are_those_of_the_figures(
    settings: hermes.Settings, finished: Run, load: Callable, fill: str
):
    made = hermes.backtest(load(settings.lake.url, dataset__symbol="SIMUSDT", backtest__fill=fill))
    assert made.metrics["fill"] == fill
    assert made.equity["equity"][-1] == pytest.approx(made.metrics["end_value"], rel=1e-12)
    assert made.equity["drawdown_pct"].max() == pytest.approx(made.metrics["max_drawdown_pct"], rel=1e-9)
    assert made.equity.height == made.frame().height == made.as_json()["rows"]
    assert made.trades.height == made.metrics["trades"]
    assert made.trades["fees"].sum() == pytest.approx(made.metrics["fees_paid"])


def test_rows_of_an_execution_are_of_that_one_not_of_the_latest(settings: hermes.Settings, finished: Run):
    first = hermes.signals(settings)
    hermes.signals(settings)
    assert set(first.frame()["generated_at"]) != set(hermes.read_signals(settings).collect()["generated_at"])
    assert_frame_equal(pl.read_parquet(first.path), first.frame())


def test_rows_that_are_gone_or_were_replaced_are_refused(
    settings: hermes.Settings, finished: Run, load: Callable, tmp_path: Path, simulated: Path
):
    own = load(tmp_path, dataset__symbol="SIMUSDT", archive__url=str(simulated))
    hermes.run(own)
    signalled, measured, page = hermes.signals(own), hermes.backtest(own), hermes.report(own)
    Path(page.path).unlink()
    with pytest.raises(MissingTable, match=r"report\.html is not there"):
        _ = page.html
    Path(signalled.path).unlink()
    with pytest.raises(MissingTable, match="the settings' lake"):
        signalled.frame()
    (features,) = Path(tmp_path / "gold").glob("gold_features*/year=2025")
    for file in features.iterdir():
        file.unlink()
    with pytest.raises(SourceChanged):
        measured.frame()


STEPS = (
    hermes.ingest, hermes.refine, hermes.features, hermes.audit, hermes.signals, hermes.backtest, hermes.report,
    hermes.ls, hermes.sweep, hermes.walkforward, partial(hermes.sql, query="select 1"), hermes.run,
)  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda step: getattr(step, "__name__", "sql"))
def test_every_step_takes_settings_and_says_so(settings: hermes.Settings, step: Callable):
    for given, named in (("BTCUSDT", "str 'BTCUSDT'"), (settings.dataset, "Dataset"), ({}, "dict")):
        with pytest.raises(UsageError, match=f"takes Settings, and was given {named}") as error:
            step(given)
        assert "Settings.load" in error.value.cure
    with pytest.raises(UsageError, match="takes a Lake, and was given str"):
        step(settings, "./lake")


def test_the_tables_of_the_lake_and_sql_over_them(settings: hermes.Settings, finished: Run):
    names = hermes.ls(settings).frame()["table"].to_list()
    assert "features_SIMUSDT_4h" in names
    answer = hermes.sql(settings, query="select count(*) as bars, max(close) as top from features_SIMUSDT_4h")
    table = hermes.read_features(settings).collect()
    assert answer.frame().rows(named=True) == [{"bars": table.height, "top": table["close"].max()}]


def test_settings_that_are_no_mapping_are_refused():
    with pytest.raises(SettingsError, match="takes names and values, not str"):
        hermes.Settings.load("BTCUSDT")


def test_a_lake_other_than_the_settings_own_is_refused(settings: hermes.Settings, finished: Run, tmp_path: Path, load):
    lake = hermes.Lake.open(settings)
    assert hermes.backtest(settings, lake).metrics == hermes.backtest(settings).metrics
    with pytest.raises(UsageError, match="is not the one that the settings name"):
        hermes.backtest(load(tmp_path), lake)


def test_pandas_gets_the_time_as_its_index(settings: hermes.Settings, finished: Run, monkeypatch: pytest.MonkeyPatch):
    made = hermes.backtest(settings)
    found = made.to_pandas()
    assert found.index.name == "datetime"
    assert list(found["close"]) == list(made.frame()["close"])

    def without_pandas(name: str, *given: object, **named: object) -> object:
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return imported(name, *given, **named)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_pandas)
    monkeypatch.delitem(sys.modules, "pandas")
    with pytest.raises(HermesError, match="pandas is not installed → install pandas"):
        made.to_pandas()


def test_text_and_html_say_the_same_with_the_label_and_the_warning(settings: hermes.Settings, finished: Run):
    made = [finished, hermes.signals(settings), hermes.backtest(settings)]
    for each in made:
        html = Tree(each._repr_html_())
        for shown in (repr(each), html.text):
            assert "SIMULATED MARKET" in shown
            assert "too few to conclude" in shown
            assert notebook.format.change(each.as_json()["metrics"]["total_return_pct"]) in shown
            assert notebook.format.change(each.as_json()["metrics"]["benchmark_return_pct"]) in shown
        assert "too few to conclude" in html.text.partition("All measures")[0]
        assert html.scripts == 0
    assert made[1].path in repr(made[1])
    for each in (hermes.features(settings), hermes.audit(settings, cuts=5), hermes.audit(settings, cuts=30)):
        assert "SIMULATED MARKET" in repr(each)
        assert "SIMULATED MARKET" in Tree(each._repr_html_()).text
    assert "rules: proven" in repr(hermes.audit(settings, cuts=5))


def test_a_real_market_has_no_label_and_what_is_undefined_has_no_figure():
    found = {
        "symbol": "BTCUSDT", "interval": "4h", "strategy": "ma_cross", "rows": 5, "buy_signals": 0, "sell_signals": 0,
        "first": "2024-01-01T00:00:00", "last": "2024-01-01T16:00:00", "path": "<b>x</b>&",
        "metrics": dict.fromkeys(("benchmark_return_pct", "sharpe"))
        | {"fill": "close", "trades": 0, "total_return_pct": 0.0},
    }  # fmt: skip
    values: dict[str, float | None] = dict.fromkeys(
        (each.name for group in notebook.measures.GROUPS.values() for each in group), None
    )
    values |= {**found["metrics"], "end_value": 1.0, "fees_paid": 0.0}  # type: ignore[dict-item]
    html = notebook.summary("Signalled", found, {"close": values})
    assert "SIMULATED" not in html + notebook.text("Signalled", found)
    assert "it never traded" in notebook.text("Signalled", found)
    assert "<b>x</b>" not in html
    assert "<b>x</b>&" in Tree(html).text
    assert "None" not in Tree(html).text


def test_the_page_stands_in_a_frame_of_its_own_whole_and_closed(settings: hermes.Settings, finished: Run):
    page = hermes.report(settings)
    html = page._repr_html_()
    tree = Tree(html)
    assert tree.frames == [page.html]
    assert 'sandbox="allow-scripts"' in html
    assert "default-src 'none'" in page.html  # asks no server for anything
    assert Path(page.path).read_text("utf-8") == page.html


def test_settings_are_given_as_they_stand_in_the_file():
    said = hermes.Settings.load(
        {"signals.chunk_rows": 5},
        environ={},
        dataset={"symbol": "ETHUSDT"},
        signals={"start": "2024-01-01"},
        strategy={"smart_momentum": {"ema_fast": 10}},
    )
    flat = {"dataset.symbol": "ETHUSDT", "signals.start": "2024-01-01", "strategy.smart_momentum.ema_fast": 10}
    assert said.model_dump() == hermes.Settings.load({"signals.chunk_rows": 5, **flat}, environ={}).model_dump()
    with pytest.raises(
        UsageError, match=r"dataset\.simbol \(argument\) is not a setting → did you mean dataset\.symbol"
    ):
        hermes.Settings.load(environ={}, dataset={"simbol": "ETHUSDT"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(UsageError, match=r"symbol \(argument\) is not a setting"):
        hermes.Settings.load(environ={}, symbol="ETHUSDT")  # type: ignore[call-arg]


def test_the_version_names_the_libraries_and_loads_none_of_them():
    script = "import sys; from hermes.cli.entry import _exit_code; sys.argv[1:] = ['--version']; _exit_code()\n"
    loaded = "print([name for name in ('polars', 'obstore', 'duckdb', 'bokeh') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script + loaded], capture_output=True, text=True, check=True)
    assert f"hermes {hermes.__version__}\npython {sys.version.split()[0]}\npolars {pl.__version__}\n" in done.stdout
    assert "duckdb 2" in done.stdout
    assert done.stdout.endswith("[]\n")
