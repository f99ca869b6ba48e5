"""Which execution is read: the one that was published last of what is wanted, whatever clocks, bursts and prunes do."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.lake_settings import naming

from hermes.dataset import Dataset, parse_execution, universe_table
from hermes.errors import HermesError, MissingTable, NewerLake, StoreError, UsageError
from hermes.lake import catalog, sql
from hermes.lake.executions import COMPARISON, SIGNALS, Execution, newest, next_sequence, publish, read_executions
from hermes.lake.store import JSON_FORMAT, Lake
from hermes.pipeline import signals as make_signals
from hermes.settings import Settings
from hermes.steps import production
from hermes.steps.lineage import latest_same
from hermes.steps.maintenance.prune import prune
from hermes.steps.production import find_execution, identity, newest_alike
from hermes.steps.promotion import promote, promoted, withdraw
from hermes.steps.signals import read_signals

BTC = Dataset()
TABLE = BTC.signals_table("smart_momentum")
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def configured(**flags: object) -> Settings:
    return Settings.load({name.replace("__", "."): value for name, value in flags.items()}, environ={})


CONFIGURED = configured()
EXPERIMENT = configured(strategy__smart_momentum__ema_fast=8)


def execute(lake: Lake, settings: Settings = CONFIGURED, clock: datetime = NOON, *, counted: bool = True) -> str:
    """Publish one execution as `signals` does by a clock; returns its name. Not `counted`: as older versions did."""
    about = {"rows": 1, **identity(settings, "smart_momentum"), "generated_at": clock.isoformat()}
    if counted:
        about["sequence"] = next_sequence(lake.gold, TABLE)
    with lake.gold.staged() as path:
        lake.gold.stage(path, pl.DataFrame({"datetime": [NOON.replace(tzinfo=None)]}), about)
        if counted:
            return publish(lake.gold, TABLE, SIGNALS, path, clock).rpartition("/")[2]
        folder = BTC.execution_folder("smart_momentum", clock)
        lake.gold.create(f"{folder}/{SIGNALS}", path)
    return folder.rpartition("/")[2]


def names(lake: Lake) -> list[str]:
    return [each.name for each in read_executions(lake.gold, catalog.executions(lake, BTC, "smart_momentum"))]


@pytest.fixture
def lake(tmp_path: Path, load: Callable) -> Lake:
    return Lake.open(load(tmp_path / "lake"))


# --- names -----------------------------------------------------------------------------------------------------------

CLOCK = st.integers(-3 * 86400, 3 * 86400).map(lambda seconds: NOON + timedelta(seconds=seconds))
BURST = st.integers(1, 6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), CLOCK, BURST, st.sampled_from([CONFIGURED, EXPERIMENT])),
        st.tuples(st.just("prune"), st.integers(1, 4)),
        st.tuples(st.just("promote"), st.integers(0, 5)),
    ),
    max_size=6,
)


@hypothesis_settings(deadline=None, max_examples=25)
@given(STEPS)
def test_the_last_published_is_the_newest_and_stays(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple]):
    lake = Lake.open(configured(lake__url=f"{tmp_path_factory.mktemp('lake')}/{{layer}}"))
    made: list[tuple[str, Settings]] = []  # as they were published
    pinned = None
    for step, *given_ in steps:
        if step == "publish":
            clock, burst, settings = given_
            for _ in range(burst):
                before = names(lake)
                name = execute(lake, settings, clock)
                assert all(name > other for other in before)
                made.append((name, settings))
        elif step == "prune":
            prune(naming(lake), lake, keep=given_[0], remove=True)
        elif there := names(lake):
            name = there[given_[0] % len(there)]
            promote(naming(lake), lake, execution=f"{TABLE}/{name}")
            pinned = next(settings for each, settings in made if each == name)
        there = names(lake)
        assert there == [name for name, _ in made if name in there]  # in the order in which they were published
        if made:
            assert there[-1] == made[-1][0]
        wanted = [name for name, settings in made if settings is (pinned or CONFIGURED)]
        if wanted:
            assert find_execution(CONFIGURED, lake).name == wanted[-1]
        else:
            with pytest.raises(MissingTable):
                find_execution(CONFIGURED, lake)


def test_a_clock_that_was_days_ahead_does_not_make_old_rows_the_latest(lake: Lake, caplog: pytest.LogCaptureFixture):
    wrong = execute(lake, clock=NOON + timedelta(days=3))
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    right = execute(lake)
    (record,) = caplog.records
    assert "3 days, 0:00:01 ahead of this machine's clock" in record.getMessage()
    assert right > wrong
    assert find_execution(CONFIGURED, lake).name == right
    prune(naming(lake), lake, keep=1, remove=True)
    assert names(lake) == [right]


def test_many_in_one_second_drift_and_say_so(lake: Lake, caplog: pytest.LogCaptureFixture):
    made = [execute(lake) for _ in range(13)]
    assert made == sorted(set(made))
    assert parse_execution(made[-1]) == NOON + timedelta(seconds=12)
    assert [record.getMessage().split(" is named ")[0].rpartition("/")[2] for record in caplog.records] == made[11:]
    prune(naming(lake), lake, keep=2, remove=True)
    assert execute(lake) > made[-1]
    prune(naming(lake), lake, keep=2, remove=True)
    assert names(lake)[0] == made[-1]


def test_executions_of_older_versions_go_by_the_instant_they_were_made_at(lake: Lake):
    drifted = execute(lake, clock=NOON + timedelta(seconds=40), counted=False)
    path = Path(catalog.executions(lake, BTC, "smart_momentum")[0].location)
    about = {"rows": 1, **identity(CONFIGURED, "smart_momentum"), "generated_at": NOON.isoformat()}
    lake.gold.write(f"{TABLE}/{drifted}/{SIGNALS}", pl.read_parquet(path), about)  # named 40 s after it was made
    later = execute(lake, clock=NOON + timedelta(seconds=20), counted=False)
    assert names(lake) == [drifted, later]
    assert find_execution(CONFIGURED, lake).name == later
    assert execute(lake) > drifted  # and what is published now is newer than all of them
    assert names(lake)[:2] == [drifted, later]


def test_a_copy_under_a_later_name_is_as_old_as_what_it_copies(lake: Lake, tmp_path: Path):
    old, new = execute(lake), execute(lake)
    copied = execute(lake, EXPERIMENT, NOON + timedelta(days=400))
    folder = tmp_path / "lake" / "gold" / TABLE
    (folder / copied / SIGNALS).write_bytes((folder / old / SIGNALS).read_bytes())
    assert names(lake) == [old, copied, new]
    assert find_execution(CONFIGURED, lake).name == new


def test_time_ends(lake: Lake):
    execute(lake, clock=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(StoreError, match="no later name is possible"):
        execute(lake)


def test_comparisons_are_named_the_same_way(lake: Lake):
    table = universe_table("smart_momentum")
    made = []
    for clock in (NOON + timedelta(days=9), NOON):
        with lake.gold.staged() as path:
            about = {"sequence": next_sequence(lake.gold, table, COMPARISON)}
            lake.gold.stage(path, pl.DataFrame({"first": [NOON], "last": [NOON]}), about)
            made.append(publish(lake.gold, table, COMPARISON, path, clock))
    assert made == sorted(made)
    assert sql.query(lake, "select count(*) from universe").rows == [(1,)]
    assert [f"{each.table}/{each.folder}" for each in prune(naming(lake), lake, keep=1).executions] == made[:1]


# --- which one is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"strategy__smart_momentum__ema_fast": 8}, "ema_fast 12, not 8"),
        ({"signals__start": "2024-01-01"}, "start none, not 2024-01-01T00:00:00"),
        ({"backtest__fees": 0.5}, "fees 0.001, not 0.5"),
    ],
)
def test_what_was_made_otherwise_is_not_read(lake: Lake, flags: dict, said: str):
    mine = execute(lake)
    other = configured(**flags)
    with pytest.raises(MissingTable, match=f"There is {mine} \\({said}\\)"):
        find_execution(other, lake)
    theirs = execute(lake, other)
    assert find_execution(CONFIGURED, lake).name == mine
    assert find_execution(other, lake).name == theirs
    assert find_execution(CONFIGURED, lake, theirs).name == theirs  # by its name, whatever is configured


def test_an_execution_of_another_tool_is_read_by_its_name_only(lake: Lake):
    folder = BTC.execution_folder("smart_momentum", NOON)
    path = Path(lake.gold.locate(f"{folder}/{SIGNALS}"))
    path.parent.mkdir(parents=True)
    pl.DataFrame({"datetime": [NOON]}).write_parquet(path)
    with pytest.raises(MissingTable, match="of another tool, without lineage"):
        find_execution(CONFIGURED, lake)
    assert find_execution(CONFIGURED, lake, path.parent.name).file.location == str(path)
    with pytest.raises(StoreError, match="no lineage of Hermes"):
        promote(naming(lake), lake, execution=path.parent.name)


def test_an_unreadable_execution_hides_nothing(lake: Lake):
    old, new = execute(lake), execute(lake)
    Path(lake.gold.locate(f"{TABLE}/{new}/{SIGNALS}")).write_bytes(b"PAR1 no more")
    with pytest.raises(HermesError, match=new):  # it may be the one: nobody is given an older one for it
        find_execution(CONFIGURED, lake)
    last = execute(lake)
    assert find_execution(CONFIGURED, lake).name == last
    made = prune(naming(lake), lake, keep=1, remove=True)
    assert [each.folder for each in made.executions] == [old]
    assert [new in note for note in made.notes] == [True]
    assert names(lake) == [new, last]


def test_the_newest_of_none_is_none():
    assert newest([]) is None
    broken = Execution("execution_1", None, {}, StoreError("unreadable"))
    with pytest.raises(StoreError, match="unreadable"):
        newest([Execution("execution_0", None, {"rows": 1}), broken])


# --- promotion -------------------------------------------------------------------------------------------------------


def test_what_is_promoted_is_read_and_followed(lake: Lake):
    plain, experiment = execute(lake), execute(lake, EXPERIMENT)
    made = promote(naming(lake), lake, execution=experiment).promotion
    assert made.pinned["parameters"]["ema_fast"] == 8
    assert find_execution(CONFIGURED, lake).name == experiment
    newer = execute(lake, EXPERIMENT)
    execute(lake)
    assert find_execution(CONFIGURED, lake).name == newer  # what was pinned, not that one file
    query = sql.query(
        lake, f"select count(*) from {catalog.tables(lake)[0].name}", production.production(CONFIGURED, lake)
    )
    assert query.rows == [(1,)]
    (row,), broken = production.overview(CONFIGURED, lake)
    assert (row["execution"], row["promoted"], broken) == (newer, True, [])
    withdraw(naming(lake), lake, table=TABLE)
    assert promoted(lake, TABLE) is None
    assert find_execution(CONFIGURED, lake).name > newer
    with pytest.raises(MissingTable, match="is promoted"):
        withdraw(naming(lake), lake, table=TABLE)
    promote(naming(lake), lake, execution=f"{TABLE}/{plain}")
    assert find_execution(EXPERIMENT, lake).name > newer


def test_prune_keeps_what_production_reads(lake: Lake):
    first, second = execute(lake), execute(lake)
    tried = [execute(lake, EXPERIMENT) for _ in range(3)]
    prune(naming(lake), lake, keep=1, remove=True)
    assert names(lake) == [second, tried[-1]]
    assert first not in names(lake)
    promote(naming(lake), lake, execution=tried[-1])
    more = [execute(lake) for _ in range(2)]
    prune(naming(lake), lake, keep=1, remove=True)
    assert names(lake) == [tried[-1], more[-1]]


def test_a_promotion_names_one_execution(lake: Lake):
    name = execute(lake)
    with lake.gold.staged() as path:
        lake.gold.stage(path, pl.DataFrame({"datetime": [NOON]}), {})
        publish(lake.gold, Dataset(symbol="ETHUSDT").signals_table("smart_momentum"), SIGNALS, path, NOON)
    with pytest.raises(UsageError, match="2 executions are called"):
        promote(naming(lake), lake, execution=name)
    for known in (f"{TABLE}/{name}", lake.gold.locate(f"{TABLE}/{name}/{SIGNALS}"), f"{TABLE}/{name}/"):
        assert promote(naming(lake), lake, execution=known).promotion.table == TABLE
    for wrong in ("execution_19700101_000000", f"{TABLE}/", "..", "zzz/execution_19700101_000000"):
        with pytest.raises(MissingTable, match="gold has no execution"):
            promote(naming(lake), lake, execution=wrong)
    with pytest.raises(UsageError, match="not a table of signals"):
        withdraw(naming(lake), lake, table="features")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"parameters": 1}', b"\xff", b'{"table": "trading_signals_x_spot_ETHUSDT_4h"}'],
)
def test_a_promotion_that_cannot_be_read_is_said_with_its_cure(lake: Lake, content: bytes):
    name = execute(lake)
    made = promote(naming(lake), lake, execution=name).promotion
    Path(made.path).write_bytes(content)
    with pytest.raises(StoreError, match="it is unknown what is promoted") as refused:
        find_execution(CONFIGURED, lake)
    assert refused.value.cure == f"promote again: `hermes promote {TABLE}/EXECUTION`"
    promote(naming(lake), lake, execution=f"{TABLE}/{name}")  # the cure
    assert find_execution(CONFIGURED, lake).name == name
    assert json.loads(Path(made.path).read_bytes())["format"] == JSON_FORMAT


@pytest.mark.parametrize("format", [JSON_FORMAT + 1, "²", "", -1, None, 1e300, [1]])
def test_a_promotion_of_a_newer_hermes_is_neither_read_nor_replaced(lake: Lake, format: object):
    name = execute(lake)
    path = Path(promote(naming(lake), lake, execution=name).promotion.path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": format}))
    before = path.read_bytes()
    for ask in (lambda: find_execution(CONFIGURED, lake), lambda: promote(naming(lake), lake, execution=name),
                lambda: withdraw(naming(lake), lake, table=TABLE)):  # fmt: skip
        with pytest.raises(NewerLake, match="was made by a newer Hermes: format "):
            ask()
    assert path.read_bytes() == before


def test_whoever_makes_what_is_not_promoted_is_told(
    simulated_lake: Path, tmp_path: Path, load: Callable, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, "hermes")
    settings = load(_features(simulated_lake, tmp_path), dataset__symbol="SIMUSDT")
    lake = Lake.open(settings)
    first = make_signals(settings, lake)
    promote(naming(lake), lake, execution=first.execution)
    make_signals(settings, lake)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    other = load(tmp_path, dataset__symbol="SIMUSDT", strategy__smart_momentum__ema_fast=8)
    experiment = make_signals(other, lake)
    assert ["readers still get what was promoted" in each.getMessage() for each in caplog.records] == [True]
    assert read_signals(other, lake).collect().height == first.tally.rows
    assert find_execution(other, lake).name != experiment.execution


def test_an_experiment_does_not_make_the_scheduled_one_again(simulated_lake: Path, tmp_path: Path, load: Callable):
    settings = load(_features(simulated_lake, tmp_path), dataset__symbol="SIMUSDT")
    lake = Lake.open(settings)
    since = datetime(2000, 1, 1, tzinfo=UTC)
    assert latest_same(settings, lake, since) is None
    first = make_signals(settings, lake)
    make_signals(load(tmp_path, dataset__symbol="SIMUSDT", signals__start="2025-01-01"), lake)
    standing = latest_same(settings, lake, since)
    assert standing
    assert standing.execution == first.execution


def _features(simulated_lake: Path, root: Path) -> Path:
    """A lake with the simulated features alone."""
    import shutil

    shutil.copytree(simulated_lake / "gold", root / "gold")
    return root


def test_a_file_strategy_that_the_settings_do_not_name_goes_by_span_and_account(lake: Lake):
    wanted = identity(CONFIGURED, "somebody_elses")
    assert wanted.keys() == {"start", "end", "backtest", "account", "feature_set"}
    assert newest_alike(lake, BTC, "smart_momentum", wanted) is None
    name = execute(lake)
    found = newest_alike(lake, BTC, "smart_momentum", wanted)
    assert found
    assert found.name == name
