"""The account that the settings describe."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hermes.dataset import Dataset, periods_per_year
from hermes.errors import UsageError
from hermes.settings import AccountSettings, Settings
from hermes.stages.backtest.account import Account, Fill
from hermes.stages.backtest.funding import Funding
from hermes.steps.funding import missing_funding
from hermes.strategies import grid

FILLS: tuple[Fill, ...] = ("close", "next_open")
#: Terms that `sweep` may be given several values of.
AXES = ("stop_loss", "take_profit", "trailing_stop", "max_bars")


def account_of(settings: Settings, **changes: Any) -> Account:
    """The configured account.

    Args:
        changes: terms that replace those configured.

    Raises:
        UsageError: a term has several values.
    """
    return account_from(settings.backtest.model_dump(), settings.account.model_dump(), settings.dataset, **changes)


def account_from(backtest: Mapping[str, Any], account: Mapping[str, Any], dataset: Dataset, **changes: Any) -> Account:
    """The account of the sections `[backtest]` and `[account]`, from settings or from a lineage."""
    terms = {**backtest, **account, **changes}
    if several := [name for name in AXES if isinstance(terms.get(name), str)]:
        flag = f"--{several[0].replace('_', '-')}"
        raise UsageError(
            f"{flag} {terms[several[0]]} are several values", "give one, or try all of them with `hermes sweep`"
        )
    return Account(**terms, inverse=dataset.market == "cm", bars_per_year=periods_per_year(dataset.interval))


def remarks(dataset: Dataset, side: str, funding: Funding | None, first: datetime, last: datetime) -> list[str]:
    """Warnings about what the account's figures do not include.

    Args:
        funding: the funding charged; first, last: times of the bars.
    """
    said = missing_funding(dataset, funding, first, last)
    if dataset.market == "spot" and side != "long":
        said = f"side {side} on spot: a short needs borrowed coins, and what borrowing costs is not in these figures"
    return [said] if said else []


def accounts(settings: Settings) -> dict[str, Account]:
    """The configured account, once with each fill."""
    return {fill: account_of(settings, fill=fill) for fill in FILLS}


def axes(settings: Settings) -> dict[str, list[Any]]:
    """The terms of the account that have several values, with these; raises SettingsError for one out of range."""
    found = {}
    for name in AXES:
        text = getattr(settings.account, name)
        if isinstance(text, str):
            values = grid.values(f"--{name.replace('_', '-')}", text)
            found[name] = [getattr(_checked(name, value), name) for value in values]
    return found


def _checked(name: str, value: Any) -> AccountSettings:
    """One validated value of a term."""
    return Settings.load({f"account.{name}": value}, environ={}).account
