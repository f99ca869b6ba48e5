"""Canary keys through every command and many failures: nothing that Hermes says or writes may hold one of them."""

import base64
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from string import ascii_letters, ascii_uppercase, digits
from urllib.parse import quote, quote_plus

from torture.bad_servers import serving
from torture.commands import hermes
from torture.parquet import INTERVAL, SYMBOL, copied, make_lake

ABOUT = (
    "canary keys, tokens and passwords in flags, files and the environment, through every command and through "
    "refusals, echoes, redirects, resets and bad settings; 0 hits, also encoded, in what is printed, tracebacks, "
    "logs and every file written"
)


@dataclass
class Plan:
    """What a case gives Hermes: variables, a settings file, flags."""

    canaries: Mapping[str, str]
    work: Path
    environ: dict[str, str] = field(default_factory=dict)
    toml: str = ""
    flags: list[str] = field(default_factory=list)
    local: bool = True  # whether the lake is the small one in the work folder


Fault = Callable[[Plan, Mapping[str, str], Random], None]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def _keys(plan: Plan, random: Random) -> None:
    """Hand over the keys in one of the ways there are."""
    key, secret, token = (plan.canaries[name] for name in ("key", "secret", "token"))
    way = random.choice(("aws", "minio", "hermes", "file"))
    if way == "aws":
        plan.environ |= {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
    elif way == "minio":
        plan.environ |= {"MINIO_ROOT_USER": key, "MINIO_ROOT_PASSWORD": secret}
    elif way == "hermes":
        plan.environ |= {
            "HERMES_S3__ACCESS_KEY": key,
            "HERMES_S3__SECRET_KEY": secret,
            "HERMES_S3__SESSION_TOKEN": token,
        }
    else:
        given = {"access_key": key, "secret_key": secret, "session_token": token}
        plan.toml += "[s3]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())


def all_well(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    _keys(plan, random)
    plan.environ["HERMES_NOTIFY__SECRET"] = plan.canaries["token"]


def _s3(answer: str) -> Fault:
    def fault(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
        _keys(plan, random)
        plan.local = False
        plan.environ["HERMES_S3__ENDPOINT"] = servers[answer]
        plan.flags += ["--lake", "s3://{layer}"]

    fault.__name__ = f"s3 {answer}"
    return fault


def s3_archive(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """The lake is here, the archive is a bucket that refuses and echoes."""
    _keys(plan, random)
    plan.environ |= {"HERMES_S3__ENDPOINT": servers["echo"], "HERMES_ARCHIVE__URL": "s3://canary/archive"}


def webhook(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """A receiver of notices whose address is a secret, and who fails and echoes."""
    base = random.choice((servers["echo"], servers["closed"], servers["redirect"]))
    plan.environ |= {
        "HERMES_NOTIFY__URL": f"{base}/hook/{plan.canaries['token']}?key={plan.canaries['key']}",
        "HERMES_NOTIFY__SECRET": plan.canaries["secret"],
        "HERMES_NOTIFY__ON": "signal,failure",
    }


def address(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """A user and a password, or a token, in an address."""
    key, secret, password = (plan.canaries[name] for name in ("key", "secret", "password"))
    host = servers["echo"].removeprefix("http://")
    url = random.choice(
        (
            f"http://{key}:{password}@{host}",
            f"https://{key}:{password}@{host}/x",
            f"http://{host}/x?token={password}",
            f"http://{host}/x?X-Amz-Signature={password}&X-Amz-Credential={key}",
            f"s3://{key}:{quote(secret, safe='')}@bucket",
            f"http://{password}@{host}",
            f"ftp://{key}:{password}@{host}",
            f"{key}:{password}@{host}",
            f"http://{host}/#{password}",
        )
    )
    # A strategy is no address: only what looks like one is masked there.
    name = random.choice(
        ("lake.url", "archive.url", "s3.endpoint", *(("signals.strategy",) if "://" in url and "#" not in url else ()))
    )
    value = f"{url}/{{layer}}" if name == "lake.url" and random.random() < 0.7 else url
    section, setting = name.split(".")
    flag = {"lake.url": "--lake", "archive.url": "--archive"}.get(name)
    way = random.choice(("environ", "toml", *(("flag",) if flag else ())))
    plan.local = name != "lake.url"
    if way == "environ":
        plan.environ[f"HERMES_{section.upper()}__{setting.upper()}"] = value
    elif way == "toml":
        plan.toml += f"[{section}]\n{setting} = {json.dumps(value)}\n"
    else:
        plan.flags += [str(flag), value]


def bad_file(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """A settings file with the keys in it that is no TOML, or has them in the wrong place or form."""
    key, secret = plan.canaries["key"], plan.canaries["secret"]
    plan.toml = random.choice(
        (
            f"[s3]\naccess_key = {key}\nsecret_key = {secret}\n",
            f'[s3]\nsecret_key = "{secret}\n',
            f"[s3]\nsecret_key = '{secret}'x\n",
            f'secret_key = "{secret}"\n',
            f'[s3]\nsecret = "{secret}"\naccess_key_id = "{key}"\n',
            f'[s3]\naccess_key = ["{key}"]\n',
            f'[s3]\nsecret_key = {{value = "{secret}"}}\n',
            f'[s3.secret_key]\nvalue = "{secret}"\n',
            f'[s3]\nsecret_key = "{secret}"\nsecret_key = "{secret}"\n',
            f'[s3]\nsecret_key = "{secret}"\npath_style = "perhaps"\n',
            f'[lake]\nsecret_key = "{secret}"\n',
            f'[strategy.smart_momentum]\napi_key = "{secret}"\n',
            f'[notify]\nurl = "{secret}"\n',
            f'[notify]\nurl = ["http://x/{secret}"]\non = "{secret}"\n',
            f'[s3]\nsession_token = 5\nsecret_key = "{secret}"\n',
            f'[s3]\nendpoint = "{secret}"\n' if "+" not in secret else f'[s3]\nsecret_key = "{secret}\\q"\n',
        )
    )
    if 'endpoint = "' in plan.toml:  # an address is no secret place: what stands there may be named
        plan.toml = f'[s3]\nsecret_key = "{secret}\\q"\n'


def bad_variable(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """Keys under names that are not quite those of settings, or half of a pair."""
    secret, key = plan.canaries["secret"], plan.canaries["key"]
    plan.environ |= random.choice(
        (
            {"HERMES_S3__SECRETKEY": secret},
            {"HERMES_SECRET_KEY": secret},
            {"HERMES_S3_SECRET_KEY": secret},
            {"AWS_SECRET_ACCESS_KEY": secret},
            {"HERMES_S3__ACCESS_KEY": key},
            {"HERMES_S3__SECRET_KEY": secret, "HERMES_S3__PATH_STYLE": "perhaps"},
            {"HERMES_NOTIFY__URL": f"x{secret}"},
            {"HERMES_NOTIFY__URL": f"http:///{secret}"},
            {"HERMES_NOTIFY__ON": "none", "HERMES_NOTIFY__SECRET": secret},
        )
    )


def damaged_lake(plan: Plan, servers: Mapping[str, str], random: Random) -> None:
    """Keys are known and the lake's files are bad: errors come from deep below."""
    all_well(plan, servers, random)
    for path in (plan.work / "lake").rglob("*.parquet"):
        if random.random() < 0.5:
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data[: random.randrange(len(data))])


FAULTS: tuple[Fault, ...] = (
    all_well,
    damaged_lake,
    _s3("closed"),
    _s3("echo"),
    _s3("error"),
    _s3("redirect"),
    _s3("garbage"),
    _s3("reset"),
    _s3("listing"),
    s3_archive,
    webhook,
    address,
    address,
    bad_file,
    bad_variable,
)

_SERIES = (SYMBOL, "--interval", INTERVAL)
#: Every command that reads settings; `{archive}` is the simulated archive.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("ingest", *_SERIES),
    ("refine", *_SERIES),
    ("features", *_SERIES),
    ("signals", *_SERIES),
    ("backtest", *_SERIES),
    ("audit", *_SERIES, "--cuts", "2"),
    ("audit", "--bytes"),
    ("run", *_SERIES, "--cuts-none"),
    ("report", *_SERIES),
    ("show", *_SERIES),
    ("ls",),
    ("sql", "select * from features_SIMUSDT_1d"),
    ("config",),
    ("doctor",),
    ("prune", "--keep", "1"),
    ("sweep", *_SERIES, "--set", "rsi_low=40,45"),
    ("walkforward", *_SERIES, "--set", "rsi_low=40,45", "--train", "60d", "--test", "20d"),
    ("run", "--all", "--from", "gold"),
)
_GRID = tuple(product(range(len(COMMANDS)), range(len(FAULTS))))
FULL, SAMPLE = len(_GRID), 30


@contextmanager
def context(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A small lake, and servers that answer badly, most of them with all that they were told."""
    make_lake(folder)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving(name))
            for name in ("echo", "error", "redirect", "garbage", "reset", "listing")
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            servers["closed"] = f"http://127.0.0.1:{free.getsockname()[1]}"
        yield str(folder), servers


def case(seed: int, folder: Path, given: tuple[str, dict[str, str]]) -> int:
    """One command meets one fault with secrets that exist only in this case; nobody may see them afterwards."""
    template, servers = given
    random = Random(seed)
    command, fault = _GRID[(seed * 7) % len(_GRID)]  # neighbours differ in both
    arguments = [each for each in COMMANDS[command] if each != "--cuts-none"]
    work = folder / "work"
    copied(Path(template) / "lake", work)
    plan = Plan(_canaries(random), work)
    FAULTS[fault](plan, servers, random)
    if plan.local and "--lake" not in plan.flags:
        plan.flags += ["--lake", f"{work}/lake/{{layer}}"]
    if (
        "HERMES_ARCHIVE__URL" not in plan.environ
        and "[archive]" not in plan.toml
        and arguments[0] in ("ingest", "run")
        and "--archive" not in plan.flags
    ):
        plan.environ["HERMES_ARCHIVE__URL"] = f"{template}/archive"
    if "--archive" in plan.flags and arguments[0] not in ("ingest", "run", "config"):
        at = plan.flags.index("--archive")
        plan.environ["HERMES_ARCHIVE__URL"] = plan.flags[at + 1]
        del plan.flags[at : at + 2]
    toml = folder / "settings.toml"
    if plan.toml:
        toml.write_text(plan.toml)
        plan.flags += ["--config", str(toml)]
    if random.random() < 0.7:
        plan.flags.append("-v")
    if random.random() < 0.5:
        plan.flags.append("--json")
    if random.random() < 0.3:
        plan.environ["HERMES_LOG__FORMAT"] = "json"

    said = hermes(*arguments, *plan.flags, folder=work, environ=plan.environ)
    toml.unlink(missing_ok=True)
    what = f"{COMMANDS[command][0]}, {FAULTS[fault].__name__}"
    texts = {"stdout": said.out.encode(), "stderr": said.err.encode()}
    texts |= {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts["the names of files"] = "\n".join(str(path) for path in folder.rglob("*")).encode()
    for name, form in _forms(plan.canaries):
        where = [place for place, text in texts.items() if form in text]
        assert not where, (
            f"{what}: {name} is in {where}\n{_around(texts[where[0]], form)}\n"
            f"flags {plan.flags} environ {plan.environ}\n{plan.toml}"
        )
    assert said.code in (0, 1, 2, 3) and "error: unexpected" not in said.err, f"{what}\n{said}\n{plan.environ}"
    return 1


def _canaries(random: Random) -> dict[str, str]:
    letters = ascii_letters + digits
    return {
        "key": "AKIA" + "".join(random.choices(ascii_uppercase + digits, k=16)),
        "secret": "".join(random.choices(letters, k=10)) + random.choice("/+") + "".join(random.choices(letters, k=29)),
        "token": "".join(random.choices(letters, k=60)),
        "password": "pw" + "".join(random.choices(letters, k=14)),
    }


def _forms(canaries: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Every canary as it is, and as others write it."""
    for name, value in canaries.items():
        yield name, value.encode()
        yield f"{name}, quoted", quote(value, safe="").encode()
        yield f"{name}, quoted plus", quote_plus(value).encode()
        yield f"{name}, in JSON", value.replace("/", "\\/").encode()
        for skipped in range(3):  # base64 of a text that it stands in looks different at each of three places
            middle = base64.b64encode(b"x" * skipped + value.encode())[4 if skipped else 0 : -4]
            yield f"{name}, base64", middle
            yield f"{name}, base64", base64.urlsafe_b64encode(b"x" * skipped + value.encode())[4 if skipped else 0 : -4]
        yield f"{name}, hex", value.encode().hex().encode()
        yield f"{name}, its end", value[-12:].encode()


def _around(text: bytes, form: bytes) -> str:
    at = text.find(form)
    return text[max(0, at - 300) : at + len(form) + 200].decode(errors="replace")


def open_errors() -> None:
    """Errors are shown as they come."""
    from hermes import redaction

    redaction._known = _Forgetful()  # type: ignore[assignment]


class _Forgetful(set):  # type: ignore[type-arg]
    def add(self, _: object) -> None:
        """Remember nothing."""


def open_settings() -> None:
    """`config` shows what it knows."""
    from hermes.settings import Settings

    items = Settings.items

    def shown(self, *given, **more):
        known = {name: secret.get_secret_value() for name, secret in self.secrets()}
        return ((name, known.get(name, value), *rest) for name, value, *rest in items(self, *given, **more))

    Settings.items = shown  # type: ignore[method-assign]


MUTANTS = {"open_errors": open_errors, "open_settings": open_settings}
