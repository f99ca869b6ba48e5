"""The metrics file, as Prometheus' own parser reads it."""

import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hermes.monitoring.metrics_file import FIGURES, LABELS, update

BTC = ("binance", "spot", "BTCUSDT", "4h", "smart_momentum")
CHINESE = ("binance", "spot", "币安人生USDT", "4h", "smart_momentum")


def read(path: Path) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(path.read_text("utf-8"))
    return {(each.name, each.labels["symbol"]): each.value for family in families for each in family.samples}


def test_the_parser_of_prometheus_reads_it(tmp_path: Path):
    path = tmp_path / "hermes.prom"
    update(path, BTC, {name: n for n, name in enumerate(FIGURES) if not name.endswith("_total")}, failed_notices=2)
    families = {each.name: each for each in text_string_to_metric_families(path.read_text("utf-8"))}
    assert len(families) == len(FIGURES)
    assert families["hermes_notices_failed"].type == "counter"
    assert families["hermes_rows"].type == "gauge"
    assert families["hermes_rows"].samples[0].labels == dict(zip(LABELS, BTC, strict=True))
    assert read(path)["hermes_notices_failed_total", "BTCUSDT"] == 2
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH  # node exporter is another user


def test_other_datasets_and_figures_stay(tmp_path: Path):
    path = tmp_path / "hermes.prom"
    update(path, BTC, {"hermes_rows": 1, "hermes_run_last_success_timestamp_seconds": 1.7e9}, failed_notices=1)
    update(path, CHINESE, {"hermes_rows": 2})
    update(path, BTC, {"hermes_rows": 3, "hermes_run_exit_status": 1}, failed_notices=1)
    assert read(path) == {
        ("hermes_rows", "BTCUSDT"): 3,
        ("hermes_rows", "币安人生USDT"): 2,
        ("hermes_run_last_success_timestamp_seconds", "BTCUSDT"): 1.7e9,
        ("hermes_run_exit_status", "BTCUSDT"): 1,
        ("hermes_notices_failed_total", "BTCUSDT"): 2,
        ("hermes_notices_failed_total", "币安人生USDT"): 0,
    }


@pytest.mark.parametrize("content", ["", "not { metrics", 'up{job="x"} 1\n', "hermes_rows 5\n"])
def test_a_file_that_is_not_ours_is_begun_anew(tmp_path: Path, content: str):
    path = tmp_path / "hermes.prom"
    path.write_text(content)
    update(path, BTC, {"hermes_rows": 1})
    assert read(path)["hermes_rows", "BTCUSDT"] == 1


def many(path: Path, worker: int) -> None:
    for number in range(10):
        update(path, (*BTC[:2], f"W{worker}", *BTC[3:]), {"hermes_rows": number}, failed_notices=1)


def test_several_processes_lose_nothing(tmp_path: Path):
    path = tmp_path / "hermes.prom"
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        list(pool.map(many, [path] * 3, range(3)))
    found = read(path)
    assert {found["hermes_rows", f"W{worker}"] for worker in range(3)} == {9}
    assert {found["hermes_notices_failed_total", f"W{worker}"] for worker in range(3)} == {10}
    assert sorted(each.name for each in tmp_path.iterdir()) == [".hermes.prom.lock", "hermes.prom"]


def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(OSError, match="no regular file"):
        update(Path("/dev/null"), BTC, {"hermes_rows": 1.0})
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("keep", [10, -3, -7])
def test_a_file_that_was_cut_is_made_again(tmp_path: Path, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "hermes.prom"
    update(path, BTC, {"hermes_rows": 1.0})
    whole = path.read_bytes()
    path.write_bytes(whole[:keep] + b'{"')
    update(path, BTC, {"hermes_rows": 2.0})
    assert path.read_bytes() == whole.replace(b"} 1.0", b"} 2.0")
    assert ["is cut or damaged" in record.getMessage() for record in caplog.records] == [True]
