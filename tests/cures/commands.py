"""Cures of what is typed wrongly: options, names, settings, SQL."""

import io
import re
import socket
import sys
from pathlib import Path

import pytest
from tests.cures.world import TABLE, World, cures

from hermes.cli import app as command_line
from hermes.errors import UsageError
from hermes.serve.server import Server


@cures("see `hermes --help` or `hermes COMMAND --help`")
def an_option_that_there_is_not(world: World):
    for command in ("--help", "ls --help"):
        assert f"hermes {command.replace('ls', 'COMMAND')}" in world.fails("ls --nothing")
        assert "Usage" in world.ok(command).out


@cures("add --live, or leave --seconds out")
def seconds_of_a_demo_that_ends_by_itself(world: World):
    assert "--live" in world.fails("demo --seconds 5")
    world.ok("demo")


@cures("write it like --set ema_fast=10")
def a_parameter_without_a_value(world: World):
    world.chooses("backtest --set ema_fast", "backtest")


@cures("give the others to `hermes run`")
def a_settings_file_of_two_symbols(world: World):
    told = world.fails("init SIMUSDT SIM1USDT --yes --config two.toml")
    world.ok("init SIMUSDT --yes --config two.toml")
    world.follow(told, options="SIM1USDT --no-report --no-audit")


@cures("--force replaces it; --config names another one")
def a_settings_file_that_is_there(world: World):
    world.chooses("init SIMUSDT --yes", values={"--force": "", "--config": "other.toml"})


@cures("add --yes, and options for what differs")
def nobody_to_ask(world: World):
    world.monkeypatch.setattr(sys, "stdin", io.StringIO())
    world.chooses("init --config asked.toml")


@cures("choose another place with --config")
def a_settings_file_in_no_folder(world: World):
    world.chooses("init --yes --config hermes.toml/none.toml", "init --yes", values={"--config": "other.toml"})


@cures("name the symbols, or use --all")
def symbols_and_all(world: World):
    world.chooses("portfolio SIMUSDT --all", "portfolio", values={"--all": ""})
    world.ok("portfolio SIMUSDT")


@cures("add --all, or leave them out")
def a_choice_among_all(world: World):
    world.chooses("portfolio SIMUSDT --quote USDT", "portfolio --quote USDT")
    world.ok("portfolio SIMUSDT")


@cures("name some, or give --all")
def a_portfolio_of_nothing(world: World):
    world.chooses("portfolio")
    world.ok("portfolio SIMUSDT")


@cures("take symbols of one quote currency: `hermes portfolio --all --quote …`")
def a_portfolio_of_two_currencies(world: World):
    world.follow(world.fails("portfolio SIMBTC SIMUSDT SIM1USDT"))


@cures("give --format …")
def a_file_of_no_known_format(world: World):
    told = world.fails("sql 'select 1 as a' --out a.txt")
    names = re.findall(r"csv|json|parquet", told)
    assert len(names) == 3
    for name in names:
        world.ok(f"sql 'select 1 as a' --out a.txt --format {name}")


@cures("add --out FILE")
def parquet_on_a_terminal(world: World):
    world.chooses("sql 'select 1 as a' --format parquet", values={"--out": "answer.parquet"})


@cures("name another file with --out")
def a_file_in_no_folder(world: World):
    world.chooses("sql 'select 1 as a' --out none/a.csv", "sql 'select 1 as a'", values={"--out": "a.csv"})


@cures("did you mean …? `hermes sql 'show tables'` lists all tables")
def a_table_that_is_called_otherwise(world: World):
    world.ok("ingest SIM1USDT")
    told = world.fails("sql 'select count(*) from signals_SIMUSDT_1h'")
    near = told.removeprefix("did you mean ").partition("?")[0].split(" or ")
    world.ok(f"sql 'select count(*) from {near[0]}'")
    world.shows("sql 'select count(*) from signals_SIMUSDT_1h'", near[0])


@cures("`hermes sql 'show tables'` lists all tables")
def a_table_like_no_other(world: World):
    world.ok("ingest SIM1USDT")
    world.shows("sql 'select * from zzz'", "bronze_SIM1USDT_4h")


@cures("the lake has no tables yet: run `hermes demo` or `hermes run SYMBOL`")
def an_empty_lake(world: World):
    query = "sql 'select count(*) from features_SIMUSDT_4h'"
    world.monkeypatch.setattr(command_line, "DEMO_MONTHS", 2)
    for number in (0, 1):
        world.remove("bronze", "silver", "gold")
        world.mends(query, only=number, fill={"SYMBOL": "SIMUSDT"} if number else None, options="")


@cures("see `hermes config` for all names")
def a_setting_that_there_is_not(world: World):
    world.monkeypatch.setenv("HERMES_ZZZ", "1")
    told = world.fails("ls")
    world.monkeypatch.delenv("HERMES_ZZZ")
    assert "signals.chunk_rows" in world.ok("config").out
    assert "`hermes config`" in told


@cures("give --config a TOML file")
def settings_that_are_not_there(world: World):
    world.chooses("ls --config none.toml", "ls", values={"--config": "hermes.toml"})


@cures("give --config a TOML file, or start in a folder that you may read")
def a_working_folder_that_cannot_be_read(world: World):
    whole = Path.is_file

    def is_file(self: Path) -> bool:
        if self.name == "hermes.toml":
            raise PermissionError(13, "Permission denied")
        return whole(self)

    world.monkeypatch.setattr(Path, "is_file", is_file)
    world.chooses("ls", values={"--config": "hermes.toml"})
    world.monkeypatch.setattr(Path, "is_file", whole)
    world.ok("ls")


@cures("give --config a TOML file of settings")
def settings_that_are_too_big(world: World):
    (world.root / "big.toml").write_bytes(b"#" * 1_000_001)
    (world.root / "deep.toml").write_bytes(b"a = " + b"[" * 100_000)
    for name in ("big.toml", "deep.toml"):
        world.chooses(f"ls --config {name}", "ls", values={"--config": "hermes.toml"})


@cures("take recent in with `hermes ingest --frequency recent`; tables are named after the archive's files")
def a_frequency_that_no_table_is_named_after(world: World):
    world.monkeypatch.setenv("HERMES_DATASET__DATA_FREQUENCY", "recent")
    told = world.fails("ls")
    world.monkeypatch.delenv("HERMES_DATASET__DATA_FREQUENCY")
    with world.exchange():
        world.follow(told)


@cures("give one, or try all of them with `hermes sweep`")
def an_account_of_many_values(world: World):
    told = world.fails("backtest --stop-loss 0.01,0.02")
    world.ok("backtest --stop-loss 0.01")
    world.follow(told, options="--stop-loss 0.01,0.02")


@cures("give one several values, such as --set NAME=8,12,20 or --stop-loss 0.01:0.05:0.01")
def nothing_to_sweep(world: World):
    world.chooses("sweep", values={"--set": "ema_fast=8,12,20"})


@cures("give --out another folder")
def a_sweep_that_cannot_be_kept(world: World):
    swept = "sweep --set ema_fast=8,12"
    world.chooses(f"{swept} --out hermes.toml/none", swept, values={"--out": "kept"})


@cures("try fewer values, or --random 1000")
def too_many_combinations(world: World):
    world.monkeypatch.setattr("hermes.strategies.grid.MOST", 2_000)
    world.chooses("sweep --set ema_fast=2:60:1 --set ema_slow=20:100:1")


@cures("take a shorter --train or more bars")
def a_past_that_there_is_not(world: World):
    walked = "walkforward --set ema_fast=8,12 --test 1m"
    world.chooses(f"{walked} --train 2y", walked, values={"--train": "1m"})


@cures("see `hermes ls`")
def an_execution_that_there_is_not(world: World):
    world.shows("promote execution_19700101_000000", world.files("gold", TABLE)[0].parent.name)


@cures("see `hermes ls` for the tables")
def a_table_that_there_is_not(world: World):
    world.shows("promote --withdraw zzz", TABLE)


@cures("name them: --columns zscore_20,ema_50@1d, or [features] columns in hermes.toml")
def a_feature_set_without_columns(world: World):
    world.chooses("features --feature-set test --columns ''", "features --feature-set test")
    world.append('[features]\ncolumns = ["zscore_20", "ema_50@1d"]')
    world.ok("features --feature-set test")


@cures("name it: --feature-set test")
def columns_of_no_set(world: World):
    world.ok("features --feature-set test --columns zscore_20")
    world.chooses("promote-features zscore_20")


@cures("write it first: `hermes features --feature-set … --columns …`")
def a_column_that_the_set_lacks(world: World):
    world.ok("features --feature-set test --columns zscore_20")
    world.mends("promote-features zscore_50 --feature-set test")


@cures("run `hermes features` with the same --feature-set and --columns")
def a_feature_set_that_was_never_made(world: World):
    world.mends("signals --feature-set test", options="--feature-set test --columns zscore_20")


@cures("promote the columns again: `hermes promote-features COLUMNS --feature-set SET`")
def promoted_columns_that_cannot_be_read(world: World):
    world.ok("features --feature-set test --columns zscore_20")
    world.ok("promote-features zscore_20 --feature-set test")
    (path,) = [each for each in (world.root / "lake/gold").rglob("*.json") if "zscore_20" in each.read_text()]
    for content in (b"{", b"{}"):
        path.write_bytes(content)
        world.mends("features", fill={"COLUMNS": "zscore_20", "SET": "test"})


@cures("choose another with --port, or --port 0 for a free one")
def a_port_that_is_taken(world: World):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as refused:
            Server(world.settings, world.lake, "127.0.0.1", port, ())
        assert "--port 0" in world.told(str(refused.value))
    for free in (0, port):
        _closed(Server(world.settings, world.lake, "127.0.0.1", free, ()))


@cures("choose one from 1024 up with --port")
def a_port_for_root_alone(world: World):
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with world.monkeypatch.context() as patch:
        patch.setattr("hermes.serve.server.bind_sockets", refused)
        with pytest.raises(UsageError) as error:
            Server(world.settings, world.lake, "127.0.0.1", 80, ())
    assert "1024" in world.told(str(error.value))
    _closed(Server(world.settings, world.lake, "127.0.0.1", 0, ()))


def _closed(server: Server) -> None:
    for each in server._sockets:
        each.close()
