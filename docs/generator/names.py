"""Every path and table name, from the naming convention."""

from dataclasses import replace
from datetime import UTC, date, datetime

from generator.markdown import code, table
from hermes.dataset import INTERVAL_SECONDS, MARKETS, Dataset, decisions_folder, decisions_table
from hermes.settings import Settings

_INTRODUCTION = """# Paths and names

`hermes config SYMBOL` prints the paths of your own settings. `{bronze}`, `{silver}` and `{gold}` stand for the lake's
address with the layer in the place of `{layer}`: `./lake/gold`, `s3://gold`, `s3://company/hermes/gold`.

"""

_TAIL = """
Features of intervals below an hour are cut into months, those of an hour and more into years. An execution is a
folder of its own, named by a UTC second that is later than all names in its table, and is never written again.
`_staging/` and `_hashes/` beside the layers are Hermes' own: what is being written, and the SHA-256 of what was.

In SQL (`hermes sql`), the tables are called `bronze_BTCUSDT_4h`, `silver_BTCUSDT_4h`, `features_BTCUSDT_4h` and
`signals_smart_momentum_BTCUSDT_4h`, the latter being the newest execution of what was promoted or configured. These
names never change. `signals_BTCUSDT_4h` is a short one for the promoted strategy, or else for the one that the settings
name. `hermes ls` and `hermes sql 'show tables'` list them all. `executions` is no table of the lake: it says of every
execution what it was made from, with its feature set and that one's version (`describe executions`).
"""


def page() -> str:
    """The page."""
    dataset, day = Dataset(), date(2025, 8, 1)
    minutes, strategy = replace(dataset, interval="5m"), "smart_momentum"
    execution = dataset.execution_folder(strategy, datetime(2025, 10, 5, 21, 47, 48, tzinfo=UTC))
    paths = [
        ("bronze", f"{{bronze}}/{dataset.bronze_key(day)}"),
        ("bronze, daily file", f"{{bronze}}/{replace(dataset, data_frequency='daily').bronze_key(day)}"),
        ("bronze, bars of the exchange", f"{{bronze}}/{replace(dataset, data_frequency='recent').bronze_key(day)}"),
        ("silver", f"{{silver}}/{dataset.silver_key(2025)}"),
        ("rejected rows", f"{{silver}}/{dataset.rejects_key(2025)}"),
        ("quality table", f"{{silver}}/{dataset.quality_key}"),
        ("gold features", f"{{gold}}/{dataset.features_key(2025)}"),
        ("gold features below 1h", f"{{gold}}/{minutes.features_key(2025, 8)}"),
        ("gold signals", f"{{gold}}/{execution}/signals.parquet"),
        ("lineage, a copy for people", f"{{gold}}/{execution}/run.json"),
        ("page", f"{{gold}}/{execution}/report.html"),
        ("decisions on record", f"{{gold}}/{decisions_folder(decisions_table(strategy, 'spot', '4h'), day)}/….parquet"),
        ("current status", f"{{gold}}/status/{dataset.signals_table(strategy)}.json"),
        ("notices that wait", f"{{gold}}/notices/{dataset.signals_table(strategy)}/….json"),
        ("what was promoted", f"{{gold}}/{dataset.promotion_key(strategy)}"),
        ("trades", f"{{gold}}/{execution}/trades.csv"),
    ]
    parts = [
        ("provider", dataset.provider),
        ("market", " ".join(MARKETS)),
        ("data_frequency", "monthly daily"),
        ("interval", " ".join(INTERVAL_SECONDS)),
        ("symbol", "letters, digits and _ of any script, at most 64 bytes"),
        ("archive (default)", Settings().paths()["archive"]),
    ]
    return "".join([
        _INTRODUCTION, table(("what", "where"), [(what, code(where)) for what, where in paths]), "\n",
        table(("part", "can be"), [(part, code(values)) for part, values in parts]), _TAIL,
    ])  # fmt: skip
