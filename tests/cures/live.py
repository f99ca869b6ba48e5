"""Cures of what needs the exchange, and of the record of decisions."""

import re

import polars as pl
from tests.cures.found import commands
from tests.cures.world import World, cures


@cures("run `hermes ingest` or `hermes live` first")
def no_bar_at_all(world: World):
    with world.exchange():
        for number, options in ((0, ""), (1, "--once")):
            world.remove("bronze", "silver", "gold")
            world.follow(world.fails("status"), only=number, options=options)
            assert "newest bar" in world.type("status").out  # whose age may well be a fault


@cures("run `hermes live` first, or pass the --strategy, --market and --interval that it was run with")
def nothing_on_record(world: World):
    with world.exchange():
        world.mends("record show", options="--once")
    as_it_had = {"--strategy": "smart_momentum", "--market": "spot", "--interval": "4h"}
    world.chooses("record show --interval 1h", "record show --interval 4h", as_it_had)


@cures("run `hermes live` first")
def nothing_to_verify(world: World):
    with world.exchange():
        world.mends("record verify", options="--once")


@cures("run `hermes live … --market … --interval … --strategy …` first")
def nothing_of_this_chain(world: World):
    with world.exchange():
        world.mends("record head SIMUSDT --strategy donchian_breakout", options="--once")


@cures("give one, like --csv record.csv")
def a_record_without_a_file(world: World):
    with world.exchange():
        world.ok("live --once")
    world.chooses("record export")


@cures("run `hermes record verify`; keep the lake as it is, and report the first of them")
def a_record_that_was_changed(world: World):
    with world.exchange():
        world.ok("live --once")
    (path,) = world.files("gold", "decisions_")
    pl.read_parquet(path).with_columns(pl.col("ema_12") + 1).write_parquet(path)
    (command,) = commands(world.fails("record reconcile"))
    said = world.type(command)
    assert said.code == 3
    assert "SIMUSDT" in said.out + said.err


@cures("see `hermes record head` for a whole one")
def a_hash_that_is_shortened(world: World):
    with world.exchange():
        world.ok("live --once")
    (command,) = commands(world.fails("record verify --head 0123abcd"))
    (head,) = set(re.findall("[0-9a-f]{64}", world.ok(command).out))
    world.ok(f"record verify --head {head}")


@cures("check the symbol and --market; delisted symbols are in the archive only")
def a_symbol_that_the_exchange_does_not_know(world: World):
    with world.exchange():
        world.chooses("ingest SIMUSD --frequency recent", "ingest SIMUSDT --frequency recent", {"--market": "spot"})
