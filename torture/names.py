"""Hostile names at every entry point: refused with a typed error or kept as they are, and nothing outside the lake."""

import json
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

from torture import hostile
from torture.commands import Said, hermes
from torture.parquet import copied, make_lake

ABOUT = (
    "SQL and path injection, %2f, NUL, globs, =, 300 characters, case and NFC twins, reserved names, any script "
    "at every entry point, 200 texts each; refused with a typed error or round-tripped, no file outside the lake, "
    "no control character on the terminal"
)
SYMBOL, INTERVAL = "SIMUSDT", "1d"
BARS = 118  # that the template lake holds


@contextmanager
def context(folder: Path) -> Iterator[str]:
    """A small lake, from archive to signals."""
    make_lake(folder)
    yield str(folder)


class Place:
    """Where one case works: a lake deep below the case's folder, so that a way out of it leads to where we look."""

    def __init__(self, folder: Path, template: str) -> None:
        self.root = folder
        self.work = folder / "a" / "b" / "c" / "work"
        self.archive = Path(template) / "archive"
        self.work.mkdir(parents=True)
        (folder / "sentinel").write_text("untouched")
        copied(Path(template) / "lake", self.work)
        self.lake = self.work / "lake"
        self.before = self.files()
        self.asked = ""  # where below the case's folder a lake was asked for, if it was

    def is_asked(self, path: str) -> bool:
        """Whether a path is of the lake that was asked for, or on the way to it."""
        below = f"{path}/".startswith(f"{self.asked}/")
        return bool(self.asked) and (below or f"{self.asked}/".startswith(f"{path}/"))

    def files(self) -> set[str]:
        """Every file and folder below the case's folder, but for what comes and goes in a lake."""
        found = {os.fsdecode(os.path.relpath(path, self.root)) for path in _walked(self.root)}
        return {path for path in found if not any(part in path.split("/") for part in ("_staging", "_locks"))}

    def new(self) -> set[str]:
        """What is there now and was not before."""
        return self.files() - self.before

    def hermes(self, *arguments: str, lake: str = "", environ: dict[str, str] | None = None) -> Said:
        """One command in the work folder."""
        said = hermes(*arguments, *(("--lake", lake) if lake else ()), folder=self.work, environ=environ)
        told = {each for each in said.err + ("" if "--json" in arguments else said.out) if each in hostile.RAW}
        assert not told, f"{sorted(map(ascii, told))} reached the terminal\n{str(said)!a}"
        assert said.typed, ascii(str(said))
        return said

    def quiet(self, said: Said) -> None:
        """A command that read or refused has made only a new lake's folder and a note of refused zips."""
        new = "a/b/c/work/new"
        notes = [f"{new}{part}" for part in ("/bronze", "/_hashes/bronze")]
        expected = (*(f"{note}/refused" for note in notes), *notes, f"{new}/_hashes", new)
        made = [path for path in self.new() if path not in expected and not path.startswith(expected[:2])]
        assert not made, f"{str(said)!a}\nmade {sorted(made)}"

    @property
    def url(self) -> str:
        return f"{self.lake}/{{layer}}"


Entry = Callable[[str, Place, Random], None]


def case(seed: int, folder: Path, template: str) -> int:
    """One text at one entry point."""
    random = Random(seed)
    entry = ENTRIES[seed % len(ENTRIES)]
    text = hostile.name(random)
    place = Place(folder, template)
    try:
        entry(text, place, random)
    except AssertionError as error:
        raise AssertionError(f"{entry.__name__} {text!a}: {error}") from None
    assert (folder / "sentinel").read_text() == "untouched"
    outside = [path for path in place.new() if not path.startswith("a/b/c/work/") and not place.is_asked(path)]
    assert not outside, f"{entry.__name__} {text!a} reached {outside}"
    return 1


# --- entry points ----------------------------------------------------------------------------------------------------


def symbol(text: str, place: Place, random: Random) -> None:
    """A symbol goes the whole way into an empty lake, and is found again under its own name; or it is refused."""
    from hermes.dataset import Dataset
    from hermes.errors import NameRefused
    from hermes.lake import catalog
    from hermes.stages.bronze.simulate import write_archive

    try:
        dataset = Dataset(symbol=text, interval=INTERVAL)
    except NameRefused:
        command = random.choice(
            (("ingest", "--archive", str(place.archive)), ("refine",), ("signals",), ("run",), ("show",), ("config",))
        )
        said = place.hermes(*command, "--lake", place.url, "--", text)
        assert said.code, ascii(str(said))
        place.quiet(said)
        return
    _one_name(dataset.symbol, text)
    archive = place.work / "archive"
    bars = write_archive(archive, dataset, date(2024, 12, 1), 1)
    for step in (("ingest", "--archive", str(archive)), ("refine",), ("features",), ("signals",)):
        said = place.hermes(*step, "--interval", INTERVAL, "--lake", place.url, "--", text)
        assert said.code == 0, ascii(str(said))
    from hermes.lake.store import Lake
    from hermes.settings import Settings

    lake = Lake.open(Settings.load({"lake.url": place.url}, environ={}))
    found = {table.dataset.symbol for table in catalog.tables(lake)}
    assert found == {SYMBOL, dataset.symbol}, f"the lake holds {found}"
    said = place.hermes("sql", f'select count(*) from "signals_{dataset.symbol}_{INTERVAL}"', "--json", lake=place.url)
    assert json.loads(said.out)["rows"] == [[bars]], ascii(str(said))


def _one_name(stored: str, text: str) -> None:
    """A stored name is its own one spelling, and no other one is the same where a file system folds case or forms."""
    from hermes.dataset import normalize_symbol
    from hermes.errors import NameRefused

    assert normalize_symbol(stored) == stored, f"{stored!a} is not stable"
    for form in ("NFC", "NFD"):
        for change in (str, str.lower, str.upper, str.casefold, str.swapcase, str.title):
            try:
                twin = normalize_symbol(unicodedata.normalize(form, change(text)))
            except NameRefused:
                continue
            assert twin == stored or _folded(twin) != _folded(stored), (
                f"{stored!a} and {twin!a} are one file on some systems"
            )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def parsing(text: str, place: Place, random: Random) -> None:
    """Whatever can be made can be read back, and what is read back is what was made."""
    from hermes import dataset as names
    from hermes.errors import NameRefused

    fields = {
        "symbol": text,
        "interval": random.choice(tuple(names.INTERVAL_SECONDS)),
        "market": random.choice(tuple(names.MARKETS)),
        "data_frequency": random.choice(names.FREQUENCIES),
    }
    strategy = random.choice(("smart_momentum", "ma_cross", "a_spot", "x_um_y"))
    try:
        made = names.Dataset(**fields)
    except NameRefused:
        made = names.Dataset(**{**fields, "symbol": SYMBOL})
    assert names.parse_bronze_folder(made.bronze_folder) == made
    assert names.parse_silver_folder(made.silver_folder) == made.with_frequency("monthly")
    assert names.parse_features_table(made.features_table) == made
    nameless = names.Dataset(symbol=made.symbol, interval=made.interval, market=made.market)
    assert names.parse_signals_table(made.signals_table(strategy)) == (strategy, nameless)
    assert made.parse_stem(made.archive_stem(date(2024, 2, 1))) == date(2024, 2, 1)
    at = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    assert names.parse_execution(made.execution_folder(strategy, at).rpartition("/")[2]) == at
    for parse in (
        names.parse_bronze_folder,
        names.parse_silver_folder,
        names.parse_features_table,
        names.parse_signals_table,
        names.parse_execution,
    ):
        for prefix in (
            "",
            "gold_features_spot_monthly_klines_",
            "trading_signals_",
            "execution_",
            "binance/spot/klines/",
            "binance/data/spot/monthly/klines/",
        ):
            found = parse(f"{prefix}{text}")
            assert found is None or isinstance(found, datetime), f"{prefix}{text!a} was read as {found}"


def strategy(text: str, place: Place, random: Random) -> None:
    command = random.choice(
        (("signals",), ("backtest",), ("show",), ("report",), ("config",), ("sweep", "--set", "ema_fast=9,10"))
    )
    said = place.hermes(*command, SYMBOL, "--interval", INTERVAL, f"--strategy={text}", lake=place.url)
    assert said.code or (command == ("config",) and _lower_words(text)), ascii(str(said))
    place.quiet(said)


def _lower_words(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalnum() and text == text.lower()


def option(text: str, place: Place, random: Random) -> None:
    """--interval, --market, --start, --end, --fill, --execution, --by: one word of a list, or a date."""
    name, command = random.choice(
        (
            ("interval", "signals"),
            ("market", "signals"),
            ("interval", "config"),
            ("market", "ls-not"),
            ("start", "signals"),
            ("end", "backtest"),
            ("fill", "signals"),
            ("since", "ingest"),
            ("frequency", "ingest"),
            ("train", "walkforward"),
            ("by", "walkforward"),
        )
    )
    command = "refine" if command == "ls-not" else command
    said = place.hermes(
        command, SYMBOL, *(() if name == "interval" else ("--interval", INTERVAL)), f"--{name}={text}", lake=place.url
    )
    if said.code == 0 and name in ("start", "end") and text in ("", "2024-01-01"):
        return
    assert said.code or (name == "frequency" and not text), ascii(str(said))
    place.quiet(said)


def execution(text: str, place: Place, random: Random) -> None:
    said = place.hermes(
        random.choice(("show", "report")), SYMBOL, "--interval", INTERVAL, f"--execution={text}", lake=place.url
    )
    assert said.code or not text, ascii(str(said))
    if text:
        place.quiet(said)


def parameter(text: str, place: Place, random: Random) -> None:
    """--set NAME=VALUE, hostile on either side."""
    pair = random.choice((text, f"ema_fast={text}", f"{text}=10", f"__class__={text}", f"rsi_low={text}"))
    said = place.hermes(
        random.choice(("signals", "backtest", "config")),
        SYMBOL,
        "--interval",
        INTERVAL,
        f"--set={pair}",
        lake=place.url,
    )
    known = pair.partition("=")[0] in ("ema_fast", "rsi_low")
    assert said.code or (known and _is_number(text)) or "config" in said.arguments, ascii(str(said))
    if said.code:
        place.quiet(said)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def lake_address(text: str, place: Place, random: Random) -> None:
    """A lake below a folder of any name: refused, or all of it works there and only there."""
    if text.startswith("~") or "://" in text:
        text = f"x{text}"
    address = f"{place.work}/lakes/{text}/{{layer}}"
    if not os.path.normpath(address).startswith(f"{place.root}/"):
        return  # an address may be anywhere: only what is below the case's folder can be looked at
    place.asked = os.path.relpath(os.path.normpath(address.partition("/{layer}")[0]), place.root)
    said = place.hermes("ingest", SYMBOL, "--interval", INTERVAL, "--archive", str(place.archive), lake=address)
    if said.code:
        made = [path for path in place.new() if (place.root / path).is_file()]  # the folders on the way may be there
        assert not made, f"{str(said)!a}\nmade {sorted(made)}"
        return
    for step in ("refine", "features", "signals"):
        said = place.hermes(step, SYMBOL, "--interval", INTERVAL, lake=address)
        assert said.code == 0, ascii(str(said))
    found = json.loads(place.hermes("ls", "--json", lake=address).out)["tables"]
    assert [table["rows"] for table in found] == [BARS] * 4, f"{found}"
    elsewhere = [path for path in place.new() if not place.is_asked(path)]
    allowed = [path for path in elsewhere if "{layer}" not in text]
    assert not allowed, f"a lake at {place.asked!a} made {elsewhere}"


def archive_address(text: str, place: Place, random: Random) -> None:
    """An archive in a folder of any name: read as it is, or refused."""
    if not text.isprintable() or len(os.fsencode(text)) > 200 or text.strip("/") in ("", ".", ".."):
        said = place.hermes(
            "ingest", SYMBOL, "--interval", INTERVAL, f"--archive={text}", lake=f"{place.work}/new/{{layer}}"
        )
        assert said.code
        return
    folder = place.work / "archives" / text.lstrip("/").replace("..", "__")
    try:
        shutil.copytree(place.archive, folder)
    except (OSError, UnicodeEncodeError):
        return
    place.before = place.files()
    said = place.hermes(
        "ingest", SYMBOL, "--interval", INTERVAL, "--json", f"--archive={folder}", lake=f"{place.work}/new/{{layer}}"
    )
    if said.code == 0:
        assert json.loads(said.out)["datasets"][0]["rows"] == BARS, ascii(str(said))
    else:
        place.quiet(said)


def archive_listing(text: str, place: Place, random: Random) -> None:
    """Symbols and intervals of any name in an archive that is listed to say what there is, or to take all."""
    archive = place.work / "archive"
    clean = text.replace("/", "_").replace("\0", "_")
    if clean in ("", ".", ".."):
        clean = "x"
    for inside in (f"data/spot/monthly/klines/{clean}/1d", f"data/spot/monthly/klines/ZZZ/{clean}"):
        try:
            (archive / inside).mkdir(parents=True, exist_ok=True)
            (archive / inside / f"{clean[:40]}-1d-2024-11.zip").write_bytes(b"PK")
        except (OSError, UnicodeEncodeError):
            return
    place.before = place.files()
    asked = random.choice(((clean[:20] if clean.isalnum() else "ZZZ",), ("ZZZ",), ("SIM",)))
    place.quiet(
        place.hermes(
            "ingest",
            "--interval",
            INTERVAL,
            f"--archive={archive}",
            "--lake",
            f"{place.work}/new/{{layer}}",
            "--",
            *asked,
        )
    )


def stored_name(text: str, place: Place, random: Random) -> None:
    """Folders and files of any name in the lake: passed over, or shown as what they are; never in the way."""
    parent = random.choice(
        (
            "gold",
            "gold/gold_features_spot_monthly_klines_SIMUSDT_1d",
            "silver/binance/spot/klines",
            "silver",
            "bronze/binance/data/spot",
            "gold/trading_signals_smart_momentum_spot_SIMUSDT_1d",
        )
    )
    name = text.replace("/", "_").replace("\0", "_")[:60]
    if name in ("", ".", ".."):
        return
    try:
        folder = (
            place.lake
            / parent
            / random.choice(
                (name, f"gold_features_spot_monthly_klines_{name}_1d", f"trading_signals_{name}_spot_SIMUSDT_1d")
            )
        )
        folder.mkdir(exist_ok=True)
        (folder / "note.txt").write_text("x")
    except (OSError, UnicodeEncodeError):
        return
    place.before = place.files()
    said = place.hermes("ls", "--json", lake=place.url)
    assert said.code == 0 and len(json.loads(said.out)["tables"]) == 4, ascii(str(said))
    said = place.hermes("backtest", SYMBOL, "--interval", INTERVAL, lake=place.url)
    assert said.code == 0, ascii(str(said))
    place.quiet(said)


def sql(text: str, place: Place, random: Random) -> None:
    """SQL of any kind answers or is refused; it writes nothing, reads no file and no variable of Hermes."""
    evil = place.work / "evil"
    quoted = text.replace("'", "''")
    query = random.choice(
        (
            text,
            f"select '{quoted}' as x",
            f'select * from "{text}"',
            f"copy (select 1) to '{evil}.csv'",
            f"export database '{evil}'",
            f"attach '{evil}.db'",
            f"select * from read_csv('{place.root}/sentinel')",
            f"select * from read_text('{place.root}/sentinel')",
            f"select * from '{place.root}/sentinel'",
            "select * from known",
            "select * from wanted",
            "select * from lake",
            "install httpfs",
            "load httpfs",
            f"set temp_directory='{evil}'",
            f"select * from read_parquet('{place.lake}/**/*.parquet')",
            "set enable_external_access=true",
            "call duckdb_databases()",
            f"create secret (type s3, key_id '{quoted}')",
            f"copy signals_SIMUSDT_1d from '{place.root}/sentinel'",
            f"select * from glob('{place.root}/*')",
        )
    )
    said = place.hermes("sql", "--json", "--lake", place.url, "--", query)
    assert "untouched" not in said.out + said.err, f"{query!a} read a file: {said}"
    if said.code == 0 and query == f"select '{quoted}' as x" and "\0" not in text:
        assert json.loads(said.out)["rows"] == [[text]], f"{query!a} came back as {said.out!a}"
    place.quiet(said)


def config_file(text: str, place: Place, random: Random) -> None:
    """A settings file with any name or value in it."""
    quoted = json.dumps(text, ensure_ascii=random.random() < 0.5)
    setting = random.choice(
        (
            "dataset.symbol",
            "dataset.interval",
            "dataset.provider",
            "dataset.market",
            "dataset.data_frequency",
            "dataset.data_category",
            "signals.strategy",
            "signals.start",
            "backtest.fill",
            "s3.region",
            "s3.endpoint",
            "signals.chunk_rows",
        )
    )
    section, key = setting.split(".")
    content = random.choice(
        (
            f"[{section}]\n{key} = {quoted}\n",
            f"[{quoted}]\nx = 1\n",
            f"[{section}]\n{quoted} = 1\n",
            f"[strategy.{quoted}]\nx = {quoted}\n",
            text,
            f"[{section}]\n{key} = {text}\n",
        )
    )
    file = place.work / "given.toml"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    place.before = place.files()
    said = place.hermes(random.choice(("config", "backtest", "ls")), "--config", str(file), lake=place.url)
    place.quiet(said)


def environment(text: str, place: Place, random: Random) -> None:
    """A variable of any value, and variables of any name."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:  # no environment can hold it
        return
    if "\0" in text:
        return
    name = random.choice(
        (
            "DATASET__SYMBOL",
            "DATASET__PROVIDER",
            "DATASET__INTERVAL",
            "SIGNALS__STRATEGY",
            "SIGNALS__END",
            "BACKTEST__FILL",
            "BACKTEST__FEES",
            "SIGNALS__CHUNK_ROWS",
            "S3__REGION",
            "S3__PATH_STYLE",
            "LAKE__URL",
            "ARCHIVE__URL",
        )
    )
    odd = "".join(character for character in text if character not in "=\0")
    variable = random.choice((f"HERMES_{name}", f"HERMES_{name}", f"HERMES_{odd}", f"HERMES_STRATEGY__{odd}__{odd}"))
    said = place.hermes("config", environ={variable: text})
    place.quiet(said)


def config_path(text: str, place: Place, random: Random) -> None:
    said = place.hermes(random.choice(("config", "ls")), f"--config={text}", lake=place.url)
    assert said.code, ascii(str(said))
    place.quiet(said)


def new_strategy(text: str, place: Place, random: Random) -> None:
    said = place.hermes("new-strategy", "--", text)
    if said.code:
        place.quiet(said)
        return
    assert _lower_words(text), ascii(str(said))
    assert place.new() == {f"a/b/c/work/{text}.py", f"a/b/c/work/test_{text}.py"}, sorted(place.new())


def strategy_path(text: str, place: Place, random: Random) -> None:
    """A strategy's file of any name: loaded from exactly there, or refused."""
    spec = random.choice((f"./{text}.py", f"{text}.py:X", f"./mine.py:{text}", f"{text}.py"))
    said = (
        place.hermes("strategies", "--", spec)
        if random.random() < 0.5
        else place.hermes("config", f"--strategy={spec}")
    )
    place.quiet(said)


def symbols_file(text: str, place: Place, random: Random) -> None:
    """A file of symbols with anything in it, and --match and --quote of any kind."""
    if random.random() < 0.5:
        file = place.work / "symbols.txt"
        file.write_bytes(f"{text}\n".encode("utf-8", "surrogatepass"))
        place.before = place.files()
        arguments = ("--symbols-file", str(file))
    else:
        arguments = ("--all", random.choice((f"--match={text}/x", f"--quote={text}/x", f"--from={text}")))
    place.hermes(
        "run",
        *arguments,
        "--interval",
        INTERVAL,
        "--from",
        "gold",
        "--no-report",
        "--no-audit",
        "--start",
        "2031-01-01",
        lake=place.url,
    )
    inside = [path for path in place.new() if not path.startswith("a/b/c/work/lake/")]
    assert not inside, inside


ENTRIES: tuple[Entry, ...] = (
    symbol,
    parsing,
    strategy,
    option,
    execution,
    parameter,
    lake_address,
    archive_address,
    archive_listing,
    stored_name,
    sql,
    config_file,
    environment,
    config_path,
    new_strategy,
    strategy_path,
    symbols_file,
)
FULL, SAMPLE = 200 * len(ENTRIES), 4 * len(ENTRIES)


def _walked(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        for each in (*names, *files):
            yield os.path.join(folder, each)  # noqa: PTH118 - names that are no text


def any_symbol() -> None:
    """Symbols are taken as they come."""
    from hermes import dataset

    dataset.normalize_symbol = lambda text: text


def open_sql() -> None:
    """SQL may read and write files."""
    from hermes.lake import sql

    sql._CLOSED.clear()


MUTANTS = {"any_symbol": any_symbol, "open_sql": open_sql}
