"""Runs that are watched: what the receiver and the metrics file are told, and that neither can harm a run."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from tests.monitoring.receiver import Receiver

from hermes import pipeline
from hermes.errors import AuditFault, DatasetLocked, MissingTable
from hermes.lake.store import Lake
from hermes.monitoring import notices
from hermes.settings import NotifySettings, Settings

YEAR_END, JANUARY = date(2024, 12, 31), date(2025, 1, 31)  # January's last bar has a signal, December's has none
SECRET = "correct horse battery staple"


@pytest.fixture
def settings(load: Callable, tmp_path: Path, simulated: Path, receiver: Receiver) -> Settings:
    return load(
        tmp_path,
        archive__url=str(simulated),
        dataset__symbol="SIMUSDT",
        notify__url=receiver.url,
        notify__secret=SECRET,
        upkeep__metrics_file=str(tmp_path / "hermes.prom"),
    )


def run(settings: Settings, until: date | None = None, **options) -> pipeline.Run:
    return pipeline.run(settings, until=until, audited=False, reported=False, **options)


def signals(made: pipeline.Run, after: datetime) -> list[tuple[str, str]]:
    rows = pl.read_parquet(made.as_json()["path"]).filter(pl.col("datetime") > after)
    return [
        (f"{at.isoformat()}Z", kind)
        for at, *flags in rows.select("datetime", "buy_signal", "sell_signal").rows()
        for kind, flag in zip(("buy", "sell"), flags, strict=True)
        if flag
    ]


def told(receiver: Receiver) -> list[tuple[str, str]]:
    return [(each["open_time"], each["kind"]) for each in receiver.told()]


def metrics(settings: Settings) -> dict[str, float]:
    text = Path(settings.upkeep.metrics_file).read_text("utf-8")
    return {each.name: each.value for family in text_string_to_metric_families(text) for each in family.samples}


def test_a_run_tells_of_new_signals_once(settings: Settings, receiver: Receiver):
    run(settings, YEAR_END)
    assert told(receiver) == []  # the first run tells of its last bar alone
    made = run(settings, JANUARY)
    new = signals(made, datetime(2024, 12, 31, 20))
    assert len(new) == 4
    assert told(receiver) == new
    run(settings, JANUARY)
    assert told(receiver) == new
    made = run(settings)
    assert told(receiver) == signals(made, datetime(2024, 12, 31, 20))


def test_the_first_run_tells_of_its_last_bar(settings: Settings, receiver: Receiver):
    made = run(settings, JANUARY)
    (notice,) = receiver.told()
    row = pl.read_parquet(made.as_json()["path"]).row(-1, named=True)
    assert notice == {
        "event": "signal",
        "id": receiver.received[0].headers["webhook-id"],
        "hermes": "0.1.0",
        "dataset": {"provider": "binance", "market": "spot", "symbol": "SIMUSDT", "interval": "4h"},
        "simulated": True,
        "kind": "sell",
        "open_time": "2025-01-31T20:00:00Z",
        "close_time": "2025-02-01T00:00:00Z",
        "price": row["close"],
        "position": row["position"],
        "why": ["st_exit"],
        "strategy": "smart_momentum",
        "parameters": dict(made.signalled.parameters),
        "execution": made.as_json()["path"],
    }
    assert "webhook-signature" in receiver.received[0].headers


def test_an_execution_that_stands_has_been_told(settings: Settings, receiver: Receiver):
    run(settings, JANUARY)
    again = run(settings, JANUARY, fresh_after=datetime.fromtimestamp(0, UTC))
    assert not again.is_new
    assert len(receiver.received) == 1


def test_what_nobody_took_is_told_by_the_next_run(settings: Settings, receiver: Receiver):
    run(settings, YEAR_END)
    receiver.answers = [200, 410]
    made = run(settings, JANUARY)
    first, second, *rest = signals(made, datetime(2024, 12, 31, 20))
    assert told(receiver) == [first, second]
    assert metrics(settings)["hermes_notices_failed_total"] == 1
    assert metrics(settings)["hermes_run_exit_status"] == 0
    ids = [each["id"] for each in receiver.told()]
    receiver.received.clear()
    run(settings, JANUARY)
    assert told(receiver) == [second, *rest]
    assert receiver.told()[0]["id"] == ids[1]
    assert metrics(settings)["hermes_notices_failed_total"] == 1


def test_a_first_notice_that_got_lost_is_told_after_later_bars(settings: Settings, receiver: Receiver):
    receiver.answers = [500] * 3
    run(settings, JANUARY)
    receiver.received.clear()
    made = run(settings)
    assert told(receiver) == signals(made, datetime(2025, 1, 31, 16))


def test_other_parameters_are_told_apart(settings: Settings, receiver: Receiver, load: Callable):
    run(settings, YEAR_END)
    run(settings, JANUARY)
    before = len(receiver.received)
    flags = {name: str(value) for name, value, origin in settings.items() if origin == "flag" and value != "********"}
    secrets = {"notify.url": receiver.url, "notify.secret": SECRET, "strategy.smart_momentum.ema_fast": 10}
    other = Settings.load(flags | secrets, environ={})
    run(other, JANUARY)  # its first
    assert told(receiver)[before:] == [("2025-01-31T20:00:00Z", "sell")]
    assert receiver.told()[-1]["id"] not in [each["id"] for each in receiver.told()[:-1]]


def test_a_run_to_a_set_end_tells_nothing(settings: Settings, receiver: Receiver):
    past = settings.signals.model_copy(update={"end": datetime(2025, 1, 31, 20)})
    run(settings.model_copy(update={"signals": past}), JANUARY)
    assert told(receiver) == []
    run(settings, JANUARY)
    assert told(receiver) == [("2025-01-31T20:00:00Z", "sell")]


@pytest.mark.parametrize(("on", "event"), [(("failure",), "failure"), (("signal",), "signal")])
def test_only_what_was_asked_for(settings: Settings, receiver: Receiver, on: tuple[str, ...], event: str):
    settings = settings.model_copy(update={"notify": settings.notify.model_copy(update={"on": on})})
    run(settings, JANUARY)
    with pytest.raises(AuditFault):
        run(settings, JANUARY, progress=Broken())
    assert [each["event"] for each in receiver.told()] == [event]


class Broken:
    def task(self, *_):
        raise AuditFault("T0KEN is what the audit found", "correct it")


def test_a_failure_is_told(settings: Settings, receiver: Receiver):
    settings = settings.model_copy(update={"dataset": settings.dataset.with_symbol("BTCUSDT")})
    with pytest.raises(MissingTable) as failed:
        run(settings, source="bronze")
    (notice,) = receiver.told()
    assert notice["error"] == failed.value.message
    assert notice["cure"] == failed.value.cure
    assert (notice["event"], notice["simulated"], notice["exit_code"]) == ("failure", False, 1)
    assert notice["dataset"]["symbol"] == "BTCUSDT"
    assert receiver.received[0].headers["webhook-id"] == notice["id"]
    figures = metrics(settings)
    assert figures["hermes_run_exit_status"] == 1
    assert figures["hermes_run_last_failure_timestamp_seconds"] > 1.7e9
    assert "hermes_run_last_success_timestamp_seconds" not in figures


def test_an_unexpected_error_is_told_and_raised(settings: Settings, receiver: Receiver):
    class Bug:
        def task(self, *_):
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        run(settings, progress=Bug())
    assert receiver.told()[0]["error"] == "unexpected ZeroDivisionError: a bug"


def test_a_run_that_another_keeps_out_tells_nothing(settings: Settings, receiver: Receiver):
    with Lake.open(settings).locked(settings.dataset, "ingest"), pytest.raises(DatasetLocked):
        run(settings)
    assert receiver.received == []
    assert not Path(settings.upkeep.metrics_file).exists()


def test_figures_of_a_run(settings: Settings):
    made = run(settings, JANUARY)
    figures = metrics(settings)
    said, quality = made.as_json(), made.refined.quality
    assert figures["hermes_rows"] == said["rows"]
    assert figures["hermes_signals"] == said["total_signals"]
    assert figures["hermes_last_bar_open_timestamp_seconds"] == datetime(2025, 1, 31, 20, tzinfo=UTC).timestamp()
    assert figures["hermes_last_signal_timestamp_seconds"] == datetime(2025, 1, 31, 20, tzinfo=UTC).timestamp()
    assert figures["hermes_gaps"] == quality.gap_count
    assert figures["hermes_coverage_ratio"] == pytest.approx(quality.coverage_pct / 100)
    assert figures["hermes_run_exit_status"] == 0
    assert figures["hermes_run_duration_seconds"] > 0
    before = figures["hermes_run_last_success_timestamp_seconds"]
    with pytest.raises(AuditFault):
        run(settings, progress=Broken())
    figures = metrics(settings)
    assert figures["hermes_run_exit_status"] == 3
    assert figures["hermes_run_last_success_timestamp_seconds"] == before
    assert figures["hermes_rows"] == said["rows"]


def test_what_goes_wrong_is_a_warning(settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture):
    receiver.answers = [401]
    nowhere = settings.upkeep.model_copy(update={"metrics_file": "/proc/nowhere/hermes.prom"})
    made = run(settings.model_copy(update={"upkeep": nowhere}), JANUARY)
    assert made.is_new
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "127.0.0.1 did not take a notice: HTTP 401" in warnings[0]
    assert "/proc/nowhere" in warnings[1]
    assert "T0KEN" not in caplog.text
    assert SECRET not in caplog.text


def test_nothing_is_written_where_nobody_watches(load: Callable, tmp_path: Path, simulated: Path):
    settings = load(tmp_path, archive__url=str(simulated), dataset__symbol="SIMUSDT")
    made = run(settings)
    folder = Path(made.as_json()["path"]).parents[1]
    assert [each.name for each in folder.iterdir()] == [made.signalled.execution]


def test_how_far_was_told_stands_beside_the_executions(settings: Settings, tmp_path: Path):
    made = run(settings, JANUARY)
    mark = Path(made.as_json()["path"]).parents[1] / "notified.json"
    assert list(json.loads(mark.read_text()).values()) == ["2025-01-31T20:00:00"]


def test_people_are_told_in_words_and_secrets_never(settings: Settings, receiver: Receiver, caplog):
    address = receiver.url.replace("http://", "json://me:PASSW0RD@")
    notify = settings.notify.model_copy(update={"url": None, "urls": SecretStr(address)})
    settings = settings.model_copy(update={"notify": notify})
    receiver.answers = [500]
    run(settings, JANUARY)
    assert "notify.urls[0] (json) did not take a notice" in caplog.text
    assert "(1 notice queued)" in caplog.text
    assert "PASSW0RD" not in caplog.text
    receiver.received.clear()
    run(settings, JANUARY)
    (told_to,) = receiver.told()
    assert told_to["title"].startswith("SIMUSDT 4h: sell at ")
    assert told_to["message"].splitlines()[:3] == [
        "SIMULATED",
        "bar closed 2025-02-01T00:00:00Z, now flat",
        "smart_momentum: st_exit",
    ]


def test_receivers_are_asked_when_the_dataset_is_free_again(settings: Settings, receiver: Receiver, monkeypatch):
    free = []

    def asked(*_: object) -> None:
        with Lake.open(settings).locked(settings.dataset, "ingest"):
            free.append(True)

    monkeypatch.setattr("hermes.monitoring.webhook.send", asked)
    run(settings, JANUARY)
    assert free == [True]


def test_decisions_on_record_are_told_once_and_not_again_by_a_run(settings: Settings, receiver: Receiver):
    lake, dataset = Lake.open(settings), settings.dataset
    made = run(settings.model_copy(update={"notify": NotifySettings()}), JANUARY)
    rows = pl.read_parquet(made.as_json()["path"]).tail(30)
    text = json.dumps(dict(sorted(made.signalled.parameters.items())))
    sealed = rows.with_columns(
        kind=pl.lit("decision"), parameters=pl.lit(text), late=pl.lit(value=True), hash=pl.lit("ab" * 32)
    )
    got: list[dict] = []
    for _ in range(2):
        notices.tell_decisions(lake, dataset, sealed, "s3://gold/x", got.append)
    assert [(each["open_time"], each["kind"]) for each in got] == signals(made, rows["datetime"][0] - timedelta(1))[-2:]
    assert (got[-1]["record_head"], got[-1]["late"], got[-1]["link"]) == ("ab" * 32, True, "s3://gold/x")
    run(settings, JANUARY)
    assert receiver.received == []


def test_shorts_are_told_where_nothing_is_bought_or_sold(settings: Settings):
    rows = pl.DataFrame(
        {
            "kind": "decision", "strategy": "mine", "parameters": "{}", "late": False, "hash": "ab" * 32,
            "datetime": [datetime(2025, 1, 1, hour) for hour in range(4)], "close": 100.0, "position": [0, -1, -1, 0],
            "buy_signal": False, "sell_signal": False,
            "short_signal": [False, True, False, False], "cover_signal": [False, False, False, True],
        }
    )  # fmt: skip
    got: list[dict] = []
    notices.tell_decisions(Lake.open(settings), settings.dataset, rows, "s3://gold/x", got.append)
    assert [(each["kind"], each["position"]) for each in got] == [("short", -1), ("cover", 0)]
