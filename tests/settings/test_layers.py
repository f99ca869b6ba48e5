"""Settings: which layer wins, where each value came from, what is refused, and that secrets stay secret."""

import importlib
import inspect
import os
import pkgutil
from datetime import date, datetime
from math import inf
from pathlib import Path

import pytest

from hermes.errors import HermesError, NameRefused, SettingsError
from hermes.settings import Settings

SECRET = "wJalrXUtnFEMI"


def load(flags=None, toml: str | None = None, environ=None, tmp_path: Path | None = None) -> Settings:
    file = None
    if toml is not None:
        file = tmp_path / "hermes.toml"
        file.write_text(toml, encoding="utf-8")
    return Settings.load(flags, file=file, environ=environ or {})


def origin(settings: Settings, name: str) -> tuple[str, str]:
    return next((value, where) for key, value, where in settings.items() if key == name)


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_layer_beats_the_ones_below_it(tmp_path: Path):
    environ = {"AWS_REGION": "eu-west-1"}
    assert origin(load(), "s3.region") == ("us-east-1", "default")
    assert origin(load(environ=environ), "s3.region") == ("eu-west-1", "AWS_REGION")
    toml = '[s3]\nregion = "from-file"\n'
    in_file = load(toml=toml, environ=environ, tmp_path=tmp_path)
    assert origin(in_file, "s3.region") == ("from-file", str(tmp_path / "hermes.toml"))
    environ["HERMES_S3__REGION"] = "from-env"
    in_env = load(toml=toml, environ=environ, tmp_path=tmp_path)
    assert origin(in_env, "s3.region") == ("from-env", "HERMES_S3__REGION")
    flagged = load({"s3.region": "from-flag"}, toml=toml, environ=environ, tmp_path=tmp_path)
    assert origin(flagged, "s3.region") == ("from-flag", "flag")


def test_the_file_of_the_working_folder_is_read(tmp_path: Path):
    (tmp_path / "hermes.toml").write_text("[signals]\nchunk_rows = 7\n")
    assert origin(Settings.load(environ={}), "signals.chunk_rows") == ("7", "hermes.toml")


def test_every_section_can_be_set_in_the_file_and_in_the_environment(tmp_path: Path):
    toml = """
[lake]
url = "s3://company/hermes/{layer}/"
[dataset]
symbol = "eth/usdt"
[signals]
chunk_rows = 5
start = 2017-09-01
end = 2018-01-01T04:00:00+02:00
[strategy.smart_momentum]
ema_fast = 10
[backtest]
fill = "next_open"
"""
    environ = {"HERMES_BACKTEST__FEES": "0.002", "HERMES_STRATEGY__SMART_MOMENTUM__EMA_SLOW": "50"}
    settings = load(toml=toml, environ=environ, tmp_path=tmp_path)
    assert settings.layer_url("gold") == "s3://company/hermes/gold"
    assert settings.dataset.symbol == "ETHUSDT"
    assert settings.signals.start == datetime(2017, 9, 1)
    assert settings.signals.end == datetime(2018, 1, 1, 2)
    assert settings.strategy == {"smart_momentum": {"ema_fast": 10, "ema_slow": "50"}}
    assert (settings.backtest.fees, settings.backtest.fill) == (0.002, "next_open")
    assert all("//" not in path.partition("://")[2] for path in settings.paths().values())


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        ({"MINIO_ROOT_USER": "a", "MINIO_ROOT_PASSWORD": "b"}, ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")),
        ({"AWS_ACCESS_KEY_ID": "x", "MINIO_ROOT_USER": "a", "MINIO_ROOT_PASSWORD": "b"},
         ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")),
        ({"AWS_ACCESS_KEY_ID": "a", "MINIO_ROOT_PASSWORD": "b"}, ("default", "default")),
    ],
)  # fmt: skip
def test_keys_of_other_tools_are_taken_in_pairs(environ: dict, found: tuple):
    settings = load(environ=environ)
    assert (origin(settings, "s3.access_key")[1], origin(settings, "s3.secret_key")[1]) == found


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ({"signals.chunk_row": 1}, "did you mean signals.chunk_rows?"),
        ({"lake.urls": "x"}, "did you mean lake.url?"),
        ({"strategy.ema_fast": 1}, ""),
        ({"dataset": "BTCUSDT"}, ""),
        ({"zzzzzzzz": 1}, "hermes config"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(flags: dict, hint: str):
    with pytest.raises(SettingsError, match="is not a setting") as refused:
        load(flags)
    assert hint in str(refused.value)
    assert next(iter(flags)) in str(refused.value)


def test_an_unknown_variable_is_named():
    with pytest.raises(SettingsError, match="HERMES_SIGNALS__CHUNKROWS"):
        load(environ={"HERMES_SIGNALS__CHUNKROWS": "5"})


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[signals]\nchunk_rows = 0\n", "signals.chunk_rows = 0"),
        (f"[signals]\ncontext_rows = 1{'0' * 30}\n", "signals.context_rows = 1000"),
        ("[signals]\nchunk_rows = 'many'\n", "signals.chunk_rows = 'many'"),
        ("[signals]\nstart = 20170901\n", "signals.start = 20170901"),
        ("[signals]\nstart = 07:32:00\n", "signals.start = "),
        ("[signals]\nend = '2017-99-99'\n", "signals.end = '2017-99-99'"),
        ("[signals]\nstart = 0001-01-01T00:00:00+05:00\n", "signals.start = "),
        ("[signals]\nend = '9999-12-31T23:00-05:00'\n", "signals.end = '9999"),
        ("[quality]\nsplits = ['XUSDT@9999-12-31T23:00-05:00=2']\n", "quality.splits = "),
        ("[account]\nmax_bars = inf\n", "account.max_bars = inf"),
        (f"[account]\nmax_bars = 1{'0' * 400}\n", "account.max_bars = 1000"),
        (f"[account]\ntake_profit = 1{'0' * 400}\n", "account.take_profit = 1000"),
        ("[account]\nstop_loss = nan\n", "account.stop_loss = nan"),
        ("[account]\nstop_loss = true\n", "account.stop_loss = True"),
        ("[backtest]\nfill = 'open'\n", "backtest.fill = 'open'"),
        ("[backtest]\nfees = nan\n", "backtest.fees"),
        ("[backtest]\ninitial_cash = inf\n", "backtest.initial_cash"),
        ("[dataset]\nsymbol = 5\n", "dataset.symbol = 5"),
        ("[lake]\nurl = './lake'\n", "lake.url = './lake'"),
        ("[lake]\nurl = 'ftp://x/{layer}'\n", "lake.url"),
        ("[s3]\nendpoint = 'localhost:9000'\n", "s3.endpoint = 'localhost:9000'"),
        ("[s3]\naccess_key = 5\n", "s3.access_key"),
        ("[[signals]]\n", "signals"),
        ("chunk_rows = 5\n", "chunk_rows"),
        ("signals = \n", "is not TOML"),
        (f"[signals]\nchunk_rows = 1{'0' * 5000}\n", "is not TOML"),
    ],
)
def test_a_bad_value_names_itself_and_its_place(toml: str, said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as refused:
        load(toml=toml, tmp_path=tmp_path)
    text = str(refused.value)
    assert said in text
    assert "hermes.toml" in text
    assert len(text.splitlines()) == 1
    assert refused.value.exit_code == 2


GARBAGE = ("\x01../x", "nan", "-1", "1e999", 5, -5.5, True, [5], date(2020, 1, 1), inf, 10**5000, "x" * 5000)


@pytest.mark.parametrize("name", [name for name, _, _ in Settings.load(environ={}).items()])
def test_every_setting_says_of_garbage_what_was_expected(name: str):
    """In its own words, none of the library's, on one line that shows no more than the beginning of the value."""
    refused = 0
    for value in GARBAGE:
        try:
            load({name: value})
        except HermesError as error:
            text, refused = str(error), refused + 1
            assert name in text or isinstance(error, NameRefused)
            in_words = "expected " in text or "is set, but" in text or "reads the archive of" in text
            assert in_words or isinstance(error, NameRefused), text
            assert error.cure and error.cure != "correct it", text
            assert "should" not in text and "valid" not in text, text
            assert len(text) < 300 and len(text.splitlines()) == 1, text
    assert refused or name in ("iceberg.catalog",)


def test_limits_and_what_stands_instead_are_told():
    with pytest.raises(SettingsError) as refused:
        load(environ={"HERMES_SIGNALS__CHUNK_ROWS": "0"})
    assert str(refused.value) == (
        "signals.chunk_rows = '0' (HERMES_SIGNALS__CHUNK_ROWS): expected a whole number from 1 up to 1,000,000,000 → "
        "correct it, or leave it out: then it is 100000"
    )
    with pytest.raises(SettingsError, match="expected a number from 0 and below 1"):
        load({"backtest.fees": 1})


@pytest.mark.parametrize("path", ["none.toml", "."])
def test_a_settings_file_that_cannot_be_read_is_one_line(path: str):
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load(file=Path(path), environ={})


def test_a_working_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", refused)  # as `sudo -u hermes hermes ls` in /root; root itself may read all
    with pytest.raises(SettingsError, match=r"^hermes\.toml cannot be read: Permission denied → .*start in a folder"):
        Settings.load(environ={})
    monkeypatch.undo()
    (tmp_path / "mine.toml").write_text("")
    assert Settings.load(environ={}, file=tmp_path / "mine.toml")


def test_names_outside_the_convention_are_refused():
    with pytest.raises(NameRefused):
        load({"dataset.symbol": "../x"})
    with pytest.raises(NameRefused):
        load({"signals.strategy": "../x"})


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2017-09-01", datetime(2017, 9, 1), datetime(2017, 9, 1, 23, 59, 59, 999999)),
        ("20170901", datetime(2017, 9, 1), datetime(2017, 9, 1, 23, 59, 59, 999999)),
        ("2017-09-01T04:00", *[datetime(2017, 9, 1, 4)] * 2),
        ("2017-09-01 04:00:00", *[datetime(2017, 9, 1, 4)] * 2),
        ("2017-09-01T00:00:00Z", *[datetime(2017, 9, 1)] * 2),
        ("2017-09-01T02:00:00+02:00", *[datetime(2017, 9, 1)] * 2),
        ("", None, None),
    ],
)
def test_days_and_instants(text: str, start: datetime | None, end: datetime | None):
    settings = load({"signals.start": text, "signals.end": text})
    assert (settings.signals.start, settings.signals.end) == (start, end)


def test_secrets_are_never_shown():
    settings = load({"s3.access_key": f"id-{SECRET}", "s3.secret_key": SECRET})
    assert settings.s3.secret_key.get_secret_value() == SECRET
    shown = [
        repr(settings),
        str(settings),
        str(list(settings.items())),
        settings.model_dump_json(),
        str(settings.paths()),
    ]
    assert SECRET not in "".join(shown)
    assert origin(settings, "s3.secret_key") == ("********", "flag")


@pytest.mark.parametrize(
    "flags",
    [
        {"s3.endpoint": f"http://user:{SECRET}@host:9000"},
        {"lake.url": f"s3://key:{SECRET}@bucket/{{layer}}"},
        {"archive.url": f"https://user:{SECRET}@host/data"},
        {"s3.secret_key": [SECRET]},
        {"s3.secret": SECRET},
        {"notify.urls": SECRET},
        {"notify.urls": [f"tgram://{SECRET}", 7]},
        {"notify.urls": [f"tgram://{SECRET} /x"]},
    ],
)
def test_a_refused_secret_is_not_in_the_error(flags: dict):
    with pytest.raises(HermesError) as refused:
        load(flags)
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("given", [["tgram://a/b", "json://c"], "tgram://a/b json://c", " tgram://a/b\njson://c "])
def test_addresses_are_a_list_or_one_text(given):
    settings = load({"notify.urls": given})
    assert settings.notify.addresses == ["tgram://a/b", "json://c"]
    assert origin(settings, "notify.urls") == ("********", "flag")
    assert load({"notify.urls": ""}).notify.addresses == []


@pytest.mark.parametrize("text", ["{price", "{nonsense} {price}", "{price:nonsense}"])
def test_templates_are_checked_when_they_are_read(text: str):
    with pytest.raises(SettingsError, match=r"notify\.signal_text"):
        load({"notify.signal_text": text})


@pytest.mark.parametrize("value", ["BTC\0USDT", "lake\udcff", "\ud800.py"])
@pytest.mark.parametrize("name", ["lake.url", "archive.url", "dataset.symbol", "signals.strategy", "s3.secret_key"])
def test_text_that_nothing_could_hold_is_refused_and_not_shown(name: str, value: str):
    with pytest.raises(SettingsError, match="not UTF-8") as refused:
        Settings.load({name: value}, environ={})
    assert name in str(refused.value) and value not in str(refused.value)


def test_settings_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        load().lake.url = "x"  # type: ignore[misc]


AMBIENT = {"AWS_ACCESS_KEY_ID": "ambient-id", "AWS_SECRET_ACCESS_KEY": "ambient-secret", "AWS_SESSION_TOKEN": "token"}


def keys(settings: Settings) -> list[str | None]:
    s3 = settings.s3
    secrets = (s3.access_key, s3.secret_key, s3.session_token)
    return [key and key.get_secret_value() for key in secrets]  # type: ignore[misc]


def test_temporary_keys_come_with_their_token():
    settings = load(environ=AMBIENT)
    assert keys(settings) == ["ambient-id", "ambient-secret", "token"]
    assert origin(settings, "s3.session_token") == ("********", "AWS_SESSION_TOKEN")


def test_a_token_is_never_taken_without_its_keys():
    assert keys(load(environ={"AWS_SESSION_TOKEN": "token"})) == [None, None, None]
    both = AMBIENT | {"MINIO_ROOT_USER": "minio-id", "MINIO_ROOT_PASSWORD": "minio-secret"}
    del both["AWS_ACCESS_KEY_ID"]
    assert keys(load(environ=both)) == ["minio-id", "minio-secret", None]


def test_keys_of_our_own_put_all_ambient_ones_aside():
    own = {"s3.access_key": "own-id", "s3.secret_key": "own-secret"}
    assert keys(load(own, environ=AMBIENT)) == ["own-id", "own-secret", None]
    split = {"HERMES_S3__SECRET_KEY": "own-secret"}
    assert keys(load({"s3.access_key": "own-id"}, environ=AMBIENT | split)) == ["own-id", "own-secret", None]
    assert keys(load({"s3.access_key": ""}, environ=AMBIENT)) == ["ambient-id", "ambient-secret", "token"]


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_token"])
def test_half_of_a_pair_is_never_completed_from_another_source(name: str, tmp_path: Path):
    with pytest.raises(SettingsError) as refused:
        load(environ=AMBIENT, toml=f"[s3]\n{name} = '{SECRET}'\n", tmp_path=tmp_path)
    text = str(refused.value)
    assert f"s3.{name} (" in text
    assert "hermes.toml) is set, but s3." in text
    assert SECRET not in text
    assert "ambient" not in text


@pytest.mark.parametrize(
    ("environ", "toml", "said"),
    [
        ({"HERMES_DATASET__SYMBOL": "../x"}, "", "(dataset.symbol, HERMES_DATASET__SYMBOL)"),
        ({}, "[dataset]\ninterval = '4hours'\n", "(dataset.interval, "),
        ({"HERMES_SIGNALS__STRATEGY": "No Name"}, "", "(signals.strategy, HERMES_SIGNALS__STRATEGY)"),
    ],
)
def test_a_name_that_is_refused_says_where_it_came_from(environ: dict, toml: str, said: str, tmp_path: Path):
    with pytest.raises(NameRefused) as refused:
        load(environ=environ, toml=toml, tmp_path=tmp_path)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_no_signature_shows_the_environment(monkeypatch: pytest.MonkeyPatch):
    """`help(Settings.load)` prints default values: an environment among them would be printed, with its secrets."""
    import hermes

    names = [each.name for each in pkgutil.walk_packages(hermes.__path__, "hermes.") if "__main__" not in each.name]
    seen = 0
    for module in map(importlib.import_module, names):
        for _, member in inspect.getmembers(module):
            methods = inspect.getmembers(member, callable) if inspect.isclass(member) else ()
            for function in (member, *(each for _, each in methods)):
                if inspect.isroutine(function) and str(getattr(function, "__module__", "")).startswith("hermes"):
                    seen += 1
                    found = inspect.signature(function).parameters.values()
                    assert not [each for each in found if isinstance(each.default, os._Environ)], function
    assert seen > 500


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 5000 + b"]" * 5000, "is not TOML|nested too deeply"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        ((".".join(["a"] * 5000) + " = 1").encode(), "nested too deeply|is not a setting"),
        (b"# " + b"x" * 1_000_001, "larger than 1,000,000 bytes"),
        (b"\xff\xfe[\x00", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_settings_is_one_line(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "hermes.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=said) as refused:
        Settings.load(environ={})
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 1000


def test_a_byte_order_mark_is_no_content(tmp_path: Path):
    (tmp_path / "hermes.toml").write_bytes(b"\xef\xbb\xbf[signals]\nchunk_rows = 7\n")
    assert Settings.load(environ={}).signals.chunk_rows == 7


def test_a_folder_may_be_called_like_a_home(tmp_path: Path):
    from hermes.lake.store import Lake

    lake = Lake.open(load({"lake.url": "./~nobody_of_this_name/{layer}"}))
    assert lake.gold.address == str(tmp_path / "~nobody_of_this_name" / "gold")
    with pytest.raises(HermesError, match="home folder of a user that does not exist") as refused:
        Lake.open(load({"lake.url": "~nobody_of_this_name/{layer}"}))
    assert refused.value.cure == "write ./~…"


def test_another_provider_is_refused_with_the_reason():
    with pytest.raises(SettingsError, match="Hermes reads the archive of binance only") as refused:
        load({"dataset.provider": "kraken"})
    assert "binance" in refused.value.cure
    assert load({"dataset.provider": "binance"}).dataset.provider == "binance"


def test_absolute_paths_change_nothing_else_of_their_sections(tmp_path: Path):
    given = {"archive.url": "files", "archive.exclude": "2022-03", "upkeep.metrics_file": "run.prom"}
    made = load(given).with_absolute_paths()
    assert (made.archive.url, made.archive.exclude) == (str(tmp_path / "files"), ("2022-03",))
    assert made.lake.url == str(tmp_path / "lake" / "{layer}")
    assert made.upkeep.metrics_file == str(tmp_path / "run.prom")
    remote = {"archive.url": "https://data.binance.vision", "lake.url": "s3://{layer}"}
    kept = load(remote).with_absolute_paths()
    assert (kept.archive.url, kept.lake.url, kept.s3.ca_file) == (*remote.values(), None)
