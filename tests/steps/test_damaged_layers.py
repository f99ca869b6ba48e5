"""Files that are sound Parquet and not what was published: no step takes them as if they were."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from hermes.errors import StoreError
from hermes.lake.store import FOOTER, Lake, Layer
from hermes.pipeline import features, ingest, refine, signals
from hermes.settings import Settings
from hermes.steps.report import report

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def whole(simulated: Path, tmp_path: Path, load: Callable) -> tuple[Settings, Lake]:
    settings = load(tmp_path / "lake", archive__url=str(simulated), dataset__symbol="SIMUSDT")
    lake = Lake.open(settings)
    ingest(settings, lake)
    return settings, lake


def rewrite(layer: Layer, change: Change) -> Path:
    """Change the rows of the layer's first file, and keep its footer."""
    path = Path(layer.files("")[0].location)
    about = pl.read_parquet_metadata(path)[FOOTER]
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path, metadata={FOOTER: about})
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.head(5), "5 rows instead of"),
        (lambda frame: frame.drop("volume"), "column volume"),
        (lambda frame: frame.with_columns(pl.col("close").cast(pl.String)), "column close"),
        (lambda frame: frame.with_columns(more=1), "column more"),
    ],
)
def test_refine_refuses_bronze_that_is_not_what_was_published(
    whole: tuple[Settings, Lake], change: Change, said: str
) -> None:
    settings, lake = whole
    path = rewrite(lake.bronze, change)
    with pytest.raises(StoreError) as caught:
        refine(settings, lake)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert not lake.silver.files("binance")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.head(5), "rows instead of"),
        (lambda frame: frame.reverse(), "out of order"),
        (lambda frame: frame.drop("volume"), "volume"),
        (lambda frame: frame.with_columns(pl.col("close").cast(pl.String)), "close"),
    ],
)
def test_features_refuse_silver_that_is_not_what_was_published(
    whole: tuple[Settings, Lake], change: Change, said: str
) -> None:
    settings, lake = whole
    refine(settings, lake)
    rewrite(lake.silver, change)
    with pytest.raises(StoreError, match=said):
        features(settings, lake)
    assert not lake.gold.files("")


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.with_columns(close=pl.lit(0.0)),
        lambda frame: frame.with_columns(high=pl.lit(None, pl.Float64)),
        lambda frame: frame.reverse(),
        lambda frame: frame.with_columns(position=pl.lit(7, pl.Int8)),
    ],
)
def test_no_page_is_drawn_of_bars_that_cannot_be(whole: tuple[Settings, Lake], change: Change) -> None:
    settings, lake = whole
    refine(settings, lake)
    features(settings, lake)
    made = signals(settings, lake)
    path = Path(made.path)
    about = pl.read_parquet_metadata(path)[FOOTER]
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path, metadata={FOOTER: about})
    with pytest.raises(StoreError, match="cannot be measured or drawn"):
        report(settings, lake)
    assert not (path.parent / "report.html").exists()


def test_rows_that_a_panic_in_polars_left_out_are_missed(
    whole: tuple[Settings, Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, lake = whole
    refine(settings, lake)
    features(settings, lake)
    read = pl.LazyFrame.collect_batches

    def ended_early(plan: pl.LazyFrame, **options) -> Iterator[pl.DataFrame]:
        return (frame.head(10) for frame in read(plan, **options))

    monkeypatch.setattr(pl.LazyFrame, "collect_batches", ended_early)
    with pytest.raises(StoreError, match=r"\d0 of .* rows could be read"):
        signals(settings, lake)


def test_a_bar_of_a_year_without_a_file_is_damage(whole: tuple[Settings, Lake]) -> None:
    settings, lake = whole
    refine(settings, lake)
    path = Path(lake.silver.files(settings.dataset.silver_folder)[-1].location)
    about = pl.read_parquet_metadata(path)[FOOTER]
    bars = pl.read_parquet(path, hive_partitioning=False)
    far = pl.when(pl.int_range(pl.len()) == pl.len() - 1).then(pl.col("datetime").dt.offset_by("9000y"))
    changed = bars.with_columns(far.otherwise(pl.col("datetime")).alias("datetime"))
    changed.write_parquet(path, metadata={FOOTER: about})
    with pytest.raises(StoreError, match="no file of that year"):
        features(settings, lake)
