"""A small lake to break, and the scenarios that break it: each provokes an error and does what its cure says."""

import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cures.found import commands, options, pattern
from tests.s3_double import Double, Quirks, serve_double

from hermes.dataset import Dataset
from hermes.lake.backends import lease, s3, s3_client
from hermes.lake.backends.conditions import Known
from hermes.lake.files import LakeFile
from hermes.lake.store import Lake, Layer
from hermes.settings import Settings
from hermes.testing.exchange import SimulatedExchange, random_bars

SIM = Dataset(symbol="SIMUSDT")
TABLE = SIM.signals_table("smart_momentum")
FEATURES = SIM.features_table
DROPPED = object()

Play = Callable[["World"], None]
SCENARIOS: list[tuple[str, Play]] = []  # a cure as it is written in the source, with … for what is filled in


def cures(*texts: str) -> Callable[[Play], Play]:
    """Register the scenario of a cure, or of several that are told one after the other."""

    def register(play: Play) -> Play:
        SCENARIOS.extend((text, play) for text in texts)
        return play

    return register


@dataclass
class World:
    """A folder with an archive, a lake and `hermes.toml`, in which commands are typed in this process."""

    root: Path
    hermes: Callable[..., Any]
    monkeypatch: pytest.MonkeyPatch
    cure: str  # of the scenario that is played
    followed: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings.load(file=self.root / "hermes.toml")

    @property
    def lake(self) -> Lake:
        return Lake.open(self.settings)

    def type(self, line: str) -> Any:
        """Type one command, without the leading `hermes`."""
        return self.hermes(*shlex.split(line))

    def ok(self, line: str) -> Any:
        said = self.type(line)
        assert said.code == 0, f"`hermes {line}` ends with {said.code}: {said.err or said.out}"
        return said

    def told(self, text: str) -> str:
        """The cure in a text, with all that was filled in; fails where it is another one."""
        found = re.search(rf"(?:{pattern(self.cure).pattern})[^\n]*", text)
        assert found, f"this cure is not told: {self.cure}\n{text}"
        self.followed.append(found[0])
        return found[0]

    def fails(self, line: str) -> str:
        """Type a command that must fail with this cure."""
        said = self.type(line)
        assert said.code != 0, f"`hermes {line}` does not fail: {said.out}"
        return self.told(said.err + said.out)

    def warns(self, line: str) -> str:
        """Type a command that must end well, and tell this cure."""
        return self.told(self.ok(line).err)

    def mends(
        self, line: str, *, only: int | None = None, fill: Mapping[str, str] | None = None, options: str = "",
        by_hand: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """A command fails; what its cure says is done, first by hand and then as it is typed; then it ends well.

        Args:
            only: the number of the command, where the cure leaves a choice.
            fill: what people put in the place of words like SYMBOL.
            options: what the cure's commands are given beside, as "the same" or with whatever differs.
        """
        told = self.fails(line)
        by_hand()
        self.follow(told, only=only, fill=fill, options=options)
        self.ok(line)

    def follow(
        self, told: str, *, only: int | None = None, fill: Mapping[str, str] | None = None, options: str = ""
    ) -> None:
        """Type the commands that a cure names."""
        named = commands(told)
        assert named, f"no command in {told!r}"
        for command in named if only is None else [named[only]]:
            self.ok(f"{filled(command, fill)} {options}")

    def chooses(self, line: str, fixed: str | None = None, values: Mapping[str, str] | None = None) -> None:
        """A command fails; with each of the options that its cure names, it ends well.

        Args:
            fixed: the command without what was wrong in it; as it is without.
            values: of options, in the place of the words that the text has.
        """
        told = self.fails(line)
        named = options(told)
        assert named, f"no option in {told!r}"
        for option in named:
            name, _, value = option.partition(" ")
            value = (values or {}).get(name, value)
            self.ok(f"{line if fixed is None else fixed} {name} {value}")

    def shows(self, line: str, expected: str, *, code: int = 0, fill: Mapping[str, str] | None = None) -> None:
        """A command fails; the one that its cure names shows what is to be known."""
        (command,) = commands(self.fails(line))
        said = self.type(filled(command, fill))
        assert said.code == code, said.err or said.out
        assert expected in said.out + said.err, said.out + said.err

    # --- breaking things ---------------------------------------------------------------------------------------------

    def files(self, layer: str, part: str = "") -> list[Path]:
        return sorted(path for path in (self.root / "lake" / layer).rglob("*.parquet") if part in str(path))

    def remove(self, *parts: str) -> None:
        """Take files or folders of the lake away, and what Hermes has on record of them."""
        for part in parts:
            for path in (self.root / "lake" / part, self.root / "lake" / "_hashes" / part):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def rewrite(self, layer: str, part: str, change: Callable[[pl.DataFrame], pl.DataFrame], **about: Any) -> Path:
        """Change the rows of a file, or what its footer says, as if Hermes had published it so."""
        where: Layer = getattr(self.lake, layer)
        file: LakeFile = next(each for each in where.files("") if part in each.key)
        known = {name: value for name, value in (where.footer(file) | about).items() if value is not DROPPED}
        path = Path(file.location)
        where.write(file.key, change(pl.read_parquet(path)), known)
        return path

    def append(self, text: str) -> None:
        with (self.root / "hermes.toml").open("a") as file:
            file.write(f"\n{text}\n")

    @contextmanager
    def store(self, quirks: Quirks | None = None) -> Iterator[Double]:
        """The lake of the commands is in an S3 store meanwhile."""
        self.monkeypatch.setattr(s3_client, "RETRIES", 0)
        self.monkeypatch.setattr(s3, "_CONDITIONS", Known())
        self.monkeypatch.setattr(s3, "CREATE_S", 5.0)
        for name, seconds in (("LEASE_S", 2.0), ("RENEW_S", 0.2), ("TAKE_S", 1.0)):
            self.monkeypatch.setattr(lease, name, seconds)
        with serve_double(quirks) as double:
            for name, value in {**double.environ(), "HERMES_LAKE__URL": "s3://{layer}"}.items():
                self.monkeypatch.setenv(name, value)
            yield double

    @contextmanager
    def exchange(self) -> Iterator[SimulatedExchange]:
        """An exchange on loopback, with bars of SIMUSDT until now."""
        now = int(time.time())
        with SimulatedExchange() as server:
            begin = (now // 14_400 - 60) * 14_400
            server.add(SIM, random_bars(SIM, begin * 1_000_000, 62))
            self.monkeypatch.setenv("HERMES_LIVE__URL", server.url)
            self.monkeypatch.setenv("HERMES_LIVE__SETTLE_SECONDS", "0.05")
            yield server


def filled(command: str, fill: Mapping[str, str] | None) -> str:
    for word, value in (fill or {}).items():
        assert word in command, f"{word} is not in {command!r}"
        command = command.replace(word, value)
    return command
