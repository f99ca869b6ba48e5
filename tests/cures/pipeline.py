"""Cures of a lake in which something is missing, damaged or another tool's."""

import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
from tests.cures.found import commands, options
from tests.cures.world import DROPPED, FEATURES, SIM, TABLE, World, cures

import hermes
from hermes.errors import MissingTable
from hermes.live.series import silver_reader
from hermes.steps.features import read_features

# --- what was not made yet -------------------------------------------------------------------------------------------


@cures("run `hermes ingest` first")
def no_bronze(world: World):
    world.remove("bronze")
    world.mends("refine")


@cures("run `hermes refine` first")
def no_silver(world: World):
    world.remove("silver")
    try:
        silver_reader(world.settings, world.lake)
    except MissingTable as error:
        world.told(str(error))
    world.mends("features")
    silver_reader(world.settings, world.lake)


@cures("run `hermes features` first, or `hermes run` for the full pipeline")
def no_features(world: World):
    for number in (0, 1):
        world.remove(f"gold/{FEATURES}")
        world.mends("backtest", only=number)


@cures("run `hermes features` first")
def no_features_to_read(world: World):
    world.remove(f"gold/{FEATURES}")
    try:
        read_features(world.settings, world.lake)
    except MissingTable as error:
        world.follow(world.told(str(error)))
    assert read_features(world.settings, world.lake).collect().height


@cures("run `hermes signals` first")
def no_signals(world: World):
    world.remove(f"gold/{TABLE}")
    world.mends("show")


@cures("run `hermes run` first")
def nothing_to_export(world: World):
    world.mends("export iceberg SIM1USDT", options="SIM1USDT --no-report --no-audit")


@cures("make it again with `hermes.report`")
def a_page_that_is_gone(world: World):
    made = hermes.report(world.settings)
    Path(made.path).unlink()
    try:
        assert not made.html
    except MissingTable as error:
        world.told(str(error))
    assert hermes.report(world.settings).html


# --- which execution is read -----------------------------------------------------------------------------------------

READ = "`hermes show` and `hermes report` read the newest with …"
PIN = "`hermes promote …/…` has everything read it"
MAKE = "`hermes signals` makes one as the settings say"


@cures(f"{READ}; {PIN}; {MAKE}")
def an_execution_made_otherwise(world: World):
    world.remove(f"gold/{TABLE}")
    made = "--start 2024-12-01 --end 2025-01-31 --set ema_fast=8 --fees 0.002 --cash 5000 --stop-loss 0.1 --side both"
    world.ok(f"run --from gold --no-report {made}")
    for line in ("show", "report", "sql 'select count(*) from signals_SIMUSDT_4h'"):
        told = world.fails(line)
        read = told.partition("read the newest with ")[2].partition(";")[0]
        if not line.startswith("sql"):
            world.ok(f"{line} {read}")
        pin, table = _command(told, "promote"), TABLE
        world.ok(pin)
        world.ok(line)
        world.ok(f"promote --withdraw {table}")
    world.ok(_command(told, "signals"))
    world.ok(line)


@cures(f"{READ}; {PIN}; `hermes promote --withdraw …` goes back to what the settings say")
def nothing_like_what_is_promoted(world: World):
    before = world.files("gold", TABLE)
    world.ok("signals --set ema_fast=8")
    (made,) = [path for path in world.files("gold", TABLE) if path not in before]
    world.ok(f"promote {made.parent.name}")
    world.remove(f"gold/{TABLE}/{made.parent.name}")
    told = world.fails("show")
    world.ok(f"show {told.partition('read the newest with ')[2].partition(';')[0]}")
    world.ok(_command(told, "promote"))
    world.ok("show")
    world.ok(_command(told, "promote --withdraw"))
    world.ok("show")


@cures(f"{READ}; {MAKE}")
def an_execution_of_another_tool(world: World):
    (made,) = world.files("gold", TABLE)
    rows = pl.read_parquet(made)
    world.remove(f"gold/{TABLE}")
    made.parent.mkdir(parents=True)
    rows.write_parquet(made)
    told = world.fails("show")
    said = world.type(f"show {told.partition('read the newest with ')[2].partition(';')[0]}")
    assert "There is" not in said.err
    world.ok(_command(told, "signals"))
    world.ok("show")


def _command(told: str, begin: str) -> str:
    return next(each for each in commands(told) if each.startswith(begin))


@cures("promote again: `hermes promote …/EXECUTION`")
def a_promotion_that_cannot_be_read(world: World):
    (made,) = world.files("gold", TABLE)
    world.ok(f"promote {made.parent.name}")
    (path,) = (world.root / "lake/gold/promotions").glob("*.json")
    for content in (b"{", b"{}"):
        path.write_bytes(content)
        world.mends("show", fill={"EXECUTION": made.parent.name})


@cures("`hermes promote` the new execution if readers should get it")
def what_was_just_made_is_not_read(world: World):
    (first,) = world.files("gold", TABLE)
    world.ok(f"promote {first.parent.name}")
    told = world.warns("signals --set ema_fast=8")
    (made,) = [path for path in world.files("gold", TABLE) if path != first]
    world.follow(told, options=made.parent.name)
    assert made.parent.name in world.ok("show").out
    assert "readers go on" not in world.ok("signals --set ema_fast=8").err


# --- damage ----------------------------------------------------------------------------------------------------------


@cures("`hermes audit --bytes` names the files whose bytes are not those that were published")
def a_file_that_is_damaged(world: World):
    path = world.files("gold", FEATURES)[0]
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996  # the first pages of the first column
    path.write_bytes(content)
    world.shows("signals", str(path), code=3)


@cures("remove it, then run the step again that makes it (`hermes run` makes all that is missing)")
def a_file_in_the_place_of_another(world: World):
    one, two = world.files("gold", FEATURES)
    shutil.copyfile(one, two)
    world.mends("signals", by_hand=two.unlink)


AGAIN = "correct the file, or remove it and run `hermes features` again"
IN_PLACE = {
    "a price of zero": lambda rows: rows.with_columns(close=pl.lit(0.0)),
    "rows in disorder": lambda rows: rows.reverse(),
    "rows that are missing": lambda rows: rows.gather_every(2),
    "a column that is missing": lambda rows: rows.drop("ema_12"),
    "a column of another type": lambda rows: rows.with_columns(ema_12=pl.lit("high")),
    "a direction that is none": lambda rows: rows.with_columns(pl.lit(0.5).alias("supertrend_dir_10_3.0")),
    "a row without a time": lambda rows: rows.with_columns(datetime=pl.lit(None, rows.schema["datetime"])),
    "another symbol": lambda rows: rows.with_columns(symbol=pl.lit("SIM1USDT")),
}


@cures(AGAIN)
def features_that_were_changed_in_place(world: World):
    for change in IN_PLACE.values():
        path = world.rewrite("gold", f"{FEATURES}/year=2025", change)
        assert "up to date" in world.ok("features").out  # it goes by the footers
        world.mends("signals", by_hand=path.unlink)


@cures("run `hermes refine`, which makes it again")
def silver_that_a_file_is_missing_from(world: World):
    for path in world.files("silver", "year=2024"):
        path.unlink()
    world.mends("features")


@cures("`hermes refine` makes silver again; if its bars went on purpose, remove the file")
def silver_without_bars_that_gold_has(world: World):
    for path in world.files("silver", "year=2024"):
        path.unlink()
    world.remove("silver/quality")
    world.mends("features")


@cures("run `hermes features`, which makes it again")
def features_that_a_file_is_missing_from(world: World):
    for path in world.files("gold", f"{FEATURES}/year=2024"):
        path.unlink()
    world.mends("signals")


@cures("remove its files and run `hermes features` again")
def features_without_rows(world: World):
    paths = [world.rewrite("gold", f"{FEATURES}/year={year}", lambda rows: rows.clear()) for year in (2024, 2025)]
    world.mends("signals", by_hand=lambda: [path.unlink() for path in paths])


@cures("remove it and run `hermes refine` again; `hermes audit --bytes` names the damaged file")
def silver_that_is_not_what_was_published(world: World):
    world.remove(f"gold/{FEATURES}")
    path = world.rewrite("silver", "year=2025", lambda rows: rows.head(5))
    told = world.fails("features")
    path.unlink()
    world.follow(told, only=0)
    world.ok("features")
    path.write_bytes(b"PAR1" + path.read_bytes()[4:-1] + b"X")
    assert str(path) in world.type("audit --bytes").err


@cures("remove it and run `hermes ingest` again; `hermes audit --bytes` checks the whole lake")
def bronze_that_is_not_what_was_published(world: World):
    world.remove("silver")
    path = world.rewrite("bronze", "month=01", lambda rows: rows.head(5))
    world.mends("refine", by_hand=path.unlink)


@cures("do not trust this file: make the signals again with `hermes signals`")
def figures_of_other_rows(world: World):
    world.rewrite("gold", f"{TABLE}/", lambda rows: rows.with_columns(buy_signal=~pl.col("buy_signal")))
    world.mends("report")


@cures("run `hermes ingest`, which fetches it again once: see docs/upgrade.md")
def bronze_of_an_older_version(world: World):
    world.rewrite("bronze", "month=01", lambda rows: rows, made=DROPPED)
    world.mends("refine")


@cures("run `hermes ingest` to fetch it again, or leave it out on purpose: --exclude …")
def bronze_that_vanished(world: World):
    path = world.files("bronze", "month=01")[0]
    path.unlink()
    world.chooses("refine")
    world.mends("refine")
    assert path.exists()


@cures("read it as it is with `hermes signals`, or move the table away")
def features_of_another_tool(world: World):
    for path in world.files("gold", FEATURES):
        pl.read_parquet(path).write_parquet(path)
    world.follow(world.fails("features"))
    (world.root / f"lake/gold/{FEATURES}").rename(world.root / "aside")
    world.ok("features")


@cures("`hermes ingest` makes it again")
def a_note_that_cannot_be_read(world: World):
    path = world.root / "lake/bronze" / SIM.refused_key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{")
    world.follow(world.warns("refine"))
    assert "cannot be read" not in world.ok("refine").err


@cures("`hermes audit` does")
def a_verdict_that_cannot_be_read(world: World):
    world.ok("audit")
    (path,) = (world.root / "lake/gold/audits").glob("*.json")
    path.write_bytes(b"{")
    world.follow(world.warns("signals --log-format json"))
    assert "cannot be read" not in world.ok("signals --log-format json").err


@cures("run `hermes export iceberg` again")
def a_note_of_iceberg_that_cannot_be_read(world: World):
    world.ok("export iceberg")
    (path,) = [each for each in (world.root / "lake/gold").rglob("*.json") if "iceberg" in str(each)]
    path.write_bytes(b"{")
    world.mends("prune --keep 1")


@cures("check [iceberg] in `hermes config`; nothing was registered that cannot be read")
def a_catalog_that_is_not_there(world: World):
    world.monkeypatch.setenv("HERMES_ICEBERG__CATALOG", "http://127.0.0.1:9/none")
    world.shows("export iceberg", "http://127.0.0.1:9/none")


@cures("correct the table, or remove … and run `hermes features` again; `hermes audit` shows every check")
def features_that_the_bars_do_not_give(world: World):
    world.rewrite("gold", f"{FEATURES}/year=2025", lambda rows: rows.with_columns(pl.col("ema_12") + 1))
    line = "run --from gold --no-report"
    told = world.fails(line)
    assert world.type(commands(told)[1]).code == 3
    world.remove(f"gold/{FEATURES}")
    assert FEATURES in told
    world.ok(commands(told)[0])
    world.ok(line)


@cures("correct the strategy; `hermes audit` shows every check")
def a_strategy_that_knows_the_future(world: World):
    (world.root / "peek.py").write_text(
        "import polars as pl\nfrom hermes.strategies.base import Strategy\n\n\n"
        "class Peek(Strategy):\n    name = 'peek'\n    look_back = 1\n    columns = ()\n\n"
        "    def conditions(self):\n        return {'later': pl.col('close').shift(-1) > pl.col('close')}\n\n"
        "    def buy(self):\n        return pl.col('later')\n\n    def sell(self):\n        return ~pl.col('later')\n"
    )
    line = "run --from gold --no-report --strategy ./peek.py"
    told = world.fails(line)
    said = world.type(f"{commands(told)[0]} --strategy ./peek.py")
    assert said.code == 3
    assert "fault" in said.out.lower()
    source = (world.root / "peek.py").read_text()
    (world.root / "peek.py").write_text(source.replace("shift(-1)", "shift(1)"))
    world.ok(line)


# --- the archive -----------------------------------------------------------------------------------------------------


@cures("the archive's copy is damaged: try again later, or leave it out: --exclude …")
def a_zip_that_is_damaged(world: World):
    path = _zip(world)
    path.write_bytes(path.read_bytes() + b"x")
    _excluded(world)


@cures("repair the file in the archive, or leave it out: --exclude …")
def a_zip_that_is_too_big(world: World):
    with _zip(world).open("ab") as file:
        file.truncate(500_000_000)
    _excluded(world)


@cures("download it again; if it stays so, leave it out: --exclude …")
def a_zip_that_is_none(world: World):
    path = _zip(world)
    path.write_bytes(b"no zip")
    path.with_name(f"{path.name}.CHECKSUM").unlink()
    _excluded(world)


def _zip(world: World) -> Path:
    world.remove("bronze")
    (path,) = (world.root / "archive").rglob("SIMUSDT-4h-2025-01.zip")
    return path


def _excluded(world: World) -> None:
    (option,) = options(world.warns("ingest"))
    assert "left out" not in world.ok(f"ingest {option}").err


@cures("name them (--symbols-file), or take a folder or an s3:// address")
def an_archive_that_cannot_be_listed(world: World):
    (world.root / "mine.txt").write_text("SIMUSDT\nSIM1USDT\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(world.root / "archive"))
    world.monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        where = f"--archive http://127.0.0.1:{server.server_port} --since 2024-11-01 --no-report --no-audit"
        world.chooses(f"run --all {where}", f"run {where}", values={"--symbols-file": "mine.txt"})
        server.shutdown()
    world.ok("run --all --archive archive --no-report --no-audit")


@cures("ask for others with --quote, --match, --market or --interval")
def a_market_without_such_a_symbol(world: World):
    told = world.fails("run --all --match 'X*'")
    assert told
    world.ok("run --all --match 'SIM*' --quote usdt --interval 4h --market spot --no-report --no-audit")


# --- the disk --------------------------------------------------------------------------------------------------------


@cures("choose another folder with --lake")
def a_lake_below_a_file(world: World):
    flat = "'hermes.toml/{layer}'"
    world.chooses(f"ingest --lake {flat}", "ingest", values={"--lake": "'./other/{layer}'"})


@cures("choose a folder that you may write to with --lake")
def a_lake_that_may_not_be_written_to(world: World):
    whole = Path.mkdir

    def mkdir(self: Path, *args: object, **options: object) -> None:
        if "denied" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        whole(self, *args, **options)  # type: ignore[arg-type]

    world.monkeypatch.setattr(Path, "mkdir", mkdir)
    world.chooses("ingest --lake './denied/{layer}'", "ingest", values={"--lake": "'./other/{layer}'"})
