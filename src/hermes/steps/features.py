"""silver → gold features: computed over the whole history; only files that changed are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import polars as pl

from hermes.dataset import TEST_LAYER
from hermes.errors import MissingTable, SourceChanged, StoreError
from hermes.lake import catalog
from hermes.lake.files import LakeFile
from hermes.lake.store import DAMAGE_CURE, Lake, fingerprint
from hermes.lake.tables import BEGIN
from hermes.progress import SILENT, Progress
from hermes.schemas import silver_schema
from hermes.settings import Settings
from hermes.stages.gold.blocks import BLOCK_ROWS
from hermes.stages.gold.features import Split, adjusted
from hermes.steps.feature_tables import FeatureTable, production_table, set_table, with_definitions
from hermes.steps.refine import read_quality
from hermes.steps.results import Rows, StepResult
from hermes.steps.step import step
from hermes.text import counted

#: A series of so many bars is computed at once, bit for bit as TA-Lib would; a longer one block by block, see
#: `gold.blocks`: 4 million bars take some 3 GB while they are computed.
WHOLE_ROWS = 4_000_000


@dataclass(frozen=True, slots=True, repr=False)
class Featured(StepResult, Rows):
    """The rows of the feature table, and which files were written or up to date."""

    rows: int
    written: list[str]
    unchanged: list[str]
    seconds: float

    def lazy(self) -> pl.LazyFrame:
        """The table as it is in the lake now, lazily."""
        return read_features(self.settings)

    def __repr__(self) -> str:
        """What was written, as text."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        return notebook.listed(*self._said())

    def _repr_html_(self) -> str:
        """What was written, as HTML for notebooks."""
        from hermes.pages import notebook  # noqa: PLC0415 - only those who look need it

        title, found, symbol = self._said()
        return notebook.card(title, notebook.facts(found), symbol=symbol)

    def _said(self) -> tuple[str, list[tuple[str, Any]], str]:
        dataset = self.settings.dataset
        wrote = f"{counted(len(self.written), 'file')}; {len(self.unchanged):,} up to date"
        found = [("rows", self.rows), ("wrote", wrote), ("table", self.settings.paths()["features"])]
        return f"Gold features: {dataset}", found, dataset.symbol


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of the table: its year, its first row in the series, and the row after its last."""

    key: str
    year: int
    begin: int
    end: int


@step(exclusive=True)
def features(settings: Settings, lake: Lake, *, progress: Progress = SILENT) -> Featured:
    """Bring the gold feature table of one dataset, or the table of the settings' feature set, up to date with silver.

    Raises:
        MissingTable: silver has no rows of this dataset.
        StoreError: the table holds files of another tool, which are never replaced.
        SourceChanged: silver was replaced again and again while it was read.
        UsageError: the feature set has no columns, or one that cannot be made.
    """
    started, dataset = perf_counter(), settings.dataset
    table = production_table(settings, lake)
    if settings.features.feature_set:
        table = with_definitions(set_table(settings, lake), settings, settings.features.columns)
    silver = lake.silver.files(dataset.silver_folder)
    if not silver:
        raise MissingTable(f"silver has no rows of {dataset} at {lake.silver.address}", "run `hermes refine` first")
    splits = settings.quality.of(dataset.symbol)
    rows, written, unchanged = _make(table, splits, lake, silver, progress)
    return Featured(settings, rows, written, unchanged, perf_counter() - started)


def features_for_signals(settings: Settings, lake: Lake, *, progress: Progress = SILENT) -> Featured:
    """Bring the inputs of signals up to date: the production table, and the feature set if its columns are configured.

    Returns:
        The result for the production table.

    Raises:
        HermesError: see `features`.
    """
    tried = settings.features
    production = settings.model_copy(update={"features": tried.model_copy(update={"feature_set": ""})})
    made = features(production, lake, progress=progress)
    if tried.feature_set and tried.columns:
        features(settings, lake, progress=progress)
    return made


def _make(
    table: FeatureTable, splits: Sequence[Split], lake: Lake, silver: list[LakeFile], progress: Progress
) -> tuple[int, list[str], list[str]]:
    """Write what is out of date."""
    dataset = table.dataset
    abouts = lake.silver.footers(silver, "year", "fingerprint", "rows")
    for file, about in zip(silver, abouts, strict=True):
        if not about:
            raise StoreError(f"{file.location} was not made by `hermes refine`", "move it out of silver")
    quality, rows = read_quality(dataset, lake), sum(about["rows"] for about in abouts)
    if quality and rows < quality.rows:
        raise StoreError(
            f"silver of {dataset} has {counted(rows, 'bar')}, and {quality.rows:,} were refined: a file is missing",
            "run `hermes refine`, which makes it again",
        )
    years = [int(about["year"]) for about in abouts]
    told = [[at.isoformat(), ratio] for at, ratio in splits]
    # A value depends on every bar before it: so does a file's fingerprint.
    definition = table.definition(in_blocks=rows > WHOLE_ROWS)
    definition += f", splits {told}" if told else ""
    prints = {
        year: fingerprint(definition, [about["fingerprint"] for about in abouts if about["year"] <= year])
        for year in years
    }
    present = _own_files(table)
    complete = {about["fingerprint"] for about in present.values()}
    if set(prints.values()) == complete and sum(about["rows"] for about in present.values()) == rows:
        return rows, [], sorted(present)

    plan = adjusted(lake.silver.scan(silver, schema=silver_schema(dataset.market)), splits)
    with lake.silver.errors():
        parts = _parts(table, plan)
    if strange := sorted({part.year for part in parts} - prints.keys()):
        raise StoreError(f"silver of {dataset} has bars of {strange[0]}, and no file of that year", DAMAGE_CURE)
    if left := sorted(present.keys() - {part.key for part in parts}):
        raise StoreError(
            f"{table.layer.locate(left[0])} has no bars in silver any more",
            "`hermes refine` makes silver again; if its bars went on purpose, remove the file",
        )
    written, unchanged = [], []
    with progress.task(f"features {dataset}", len(parts), "files") as advance:
        for block in _blocks(parts):
            wanted = {
                part.key: {
                    "layer": TEST_LAYER if table.feature_set else "gold",
                    "fingerprint": prints[part.year],
                    "rows": part.end - part.begin,
                    BEGIN: part.begin,
                    "definition": definition,
                    **({"splits": told} if told else {}),
                    **table.about(),
                }
                for part in block
            }
            stale = [part for part in block if not _is_same(present.get(part.key), wanted[part.key])]
            if stale:
                with lake.silver.errors():
                    made = _computed(table, plan, parts[-1].end, block)
                if not lake.silver.unchanged(dataset.silver_folder, silver):
                    raise SourceChanged(f"silver of {dataset} changed while it was read", "run one refine at a time")
                _check(table, made, block, parts[-1].end, rows)
                first = block[0].begin
                slices = {part.key: made.slice(part.begin - first, part.end - part.begin) for part in stale}
                table.layer.write_all((key, rows_of, wanted[key]) for key, rows_of in slices.items())
            written += [part.key for part in stale]
            unchanged += [part.key for part in block if part not in stale]
            advance(len(block), f"{len(written)} new")
    return rows, written, unchanged


def _is_same(there: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether a file is up to date by its footer; one of an older Hermes does not say where it begins."""
    return there is not None and {BEGIN: wanted[BEGIN], **there} == wanted


def _parts(table: FeatureTable, silver: pl.LazyFrame) -> list[_Part]:
    """The files of the table, in order of time, and which rows of the series each holds."""
    names = ["year", "month"] if table.dataset.features_by_month else ["year"]
    time = pl.col("datetime").dt
    period = [getattr(time, name)().alias(name) for name in names]
    heights = silver.group_by(period).len().sort(names).collect(engine="streaming")
    found: list[_Part] = []
    for *when, height in heights.iter_rows():
        begin = found[-1].end if found else 0
        found.append(_Part(table.key(*when), when[0], begin, begin + height))
    return found


def _blocks(parts: list[_Part]) -> list[list[_Part]]:
    """Groups of files to compute together: all of them, or for a long series a few within one year."""
    if parts[-1].end <= WHOLE_ROWS:
        return [parts]
    blocks: list[list[_Part]] = [[]]
    for part in parts:
        block = blocks[-1]
        if block and (part.year != block[0].year or part.end - block[0].begin > BLOCK_ROWS):
            blocks.append([])
        blocks[-1].append(part)
    return blocks


def _computed(table: FeatureTable, silver: pl.LazyFrame, rows: int, block: list[_Part]) -> pl.DataFrame:
    """The rows of one block; for short series and feature sets, cut from the whole table."""
    if rows <= WHOLE_ROWS:
        return table.whole(silver).collect()
    if table.feature_set:
        begin, end = block[0].begin, block[-1].end
        return table.whole(silver).slice(begin, end - begin).collect(engine="streaming")
    return table.block(silver, block[0].begin, block[-1].end)


def _check(table: FeatureTable, made: pl.DataFrame, block: list[_Part], found: int, rows: int) -> None:
    """Refuse silver whose bars differ in number from its footers, are out of order or outside their period."""
    time, by_month = made["datetime"], table.dataset.features_by_month
    in_order = bool((time.diff().dt.total_microseconds() > 0).all())
    ends = [table.key(at.year, at.month if by_month else None) for at in (time[0], time[-1])]
    in_order = in_order and ends == [block[0].key, block[-1].key]
    if found != rows or not in_order:
        what = f"{counted(found, 'row')} instead of {rows:,}" if found != rows else "bars out of order"
        raise StoreError(
            f"silver of {table.dataset} is not what was published: {what}",
            "remove it and run `hermes refine` again; `hermes audit --bytes` names the damaged file",
        )


def _own_files(table: FeatureTable) -> dict[str, dict[str, Any]]:
    """Key and footer of every file of the table, all of them made by Hermes."""
    files = table.layer.files(table.name)
    abouts = table.layer.footers(files, "fingerprint", "rows")
    for file, about in zip(files, abouts, strict=True):
        if not about:
            raise StoreError(
                f"{file.location} was made by another tool and is not replaced",
                "read it as it is with `hermes signals`, or move the table away",
            )
    return {file.key: about for file, about in zip(files, abouts, strict=True)}


def read_features(settings: Settings, lake: Lake | None = None) -> pl.LazyFrame:
    """The gold feature table of the settings' dataset, lazily.

    Raises:
        MissingTable: it is not there.
    """
    gold = (lake or Lake.open(settings)).gold
    files = gold.files(settings.dataset.features_table)
    if not files:
        raise MissingTable(f"gold has no table {settings.dataset.features_table}", "run `hermes features` first")
    return catalog.scan_features(gold, files).sort("datetime")
