"""Compares the record with the decisions of today's bars and rules: every difference, with its cause; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from hermes.errors import StrategyError
from hermes.record.ledger import Head

#: What a difference can come from. `unexplained` is what is left; `not checked` are bars that silver does not have yet.
CAUSES = ("bar revised", "rules or parameters changed", "missed", "late", "unexplained", "not checked")
_REVISED, _RULES, _MISSED, _LATE, _UNEXPLAINED, _NOT_CHECKED = CAUSES
_PRICES = ("open", "high", "low", "close", "volume")
_DECISION = ("buy_signal", "sell_signal", "position")
SHORTS = ("short_signal", "cover_signal")  # where the strategy has rules for them
_RELATIVE = 1e-9  # by which an indicator may differ: a long series is computed from a tail, or in blocks
_RECORDED, _OWN, _TODAY, _REPLAYED = "recorded_", "own_", "today_", "replayed_"

_OTHER_RULES = {name: pl.lit(value=True) for name in ("differs", "signals_differ", "position_differs", "unknown")}

#: Bars (`datetime, open … volume`, others ignored) → the same bars with the strategy's columns, conditions, signals and
#: `position`, by today's rules with the given parameters (JSON, as the record has them; None: those of today).
#: Raises StrategyError where the rules do not take these parameters any more.
Decide = Callable[[pl.DataFrame, str | None], pl.DataFrame]
#: Columns of bars and indicators → signals, by today's rules.
Judge = Callable[[pl.DataFrame, str], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of parameters or of the version of Hermes within the record.

    Attributes:
        datetime: open time of the first bar after the change.
    """

    datetime: datetime
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The comparison of every bar of the record.

    Attributes:
        bars: one row per bar, `datetime, cause` (null where nothing differs), `detail`, the recorded and today's prices
            and signals (`recorded_…`, `today_…`), `server_time` and `late`.
        changes: of parameters or versions.
    """

    bars: pl.DataFrame
    changes: list[Change]

    @property
    def causes(self) -> dict[str, int]:
        """The number of differing bars by cause."""
        counted = dict(self.bars.filter(pl.col("cause").is_not_null()).group_by("cause").len().iter_rows())
        return {cause: counted.get(cause, 0) for cause in CAUSES}

    @property
    def differences(self) -> pl.DataFrame:
        """The bars that differ, in order of time."""
        return self.bars.filter(pl.col("cause").is_not_null() & (pl.col("cause") != _NOT_CHECKED))


def reconcile(record: pl.DataFrame, bars: pl.DataFrame, decide: Decide, judge: Judge, version: str) -> Reconciliation:
    """Decide again with today's bars and rules, and compare.

    Args:
        record: of one chain, sorted by sequence.
        bars: the whole series as silver has it today.
        decide: today's rules over bars.
        judge: today's rules, applied to given indicator values.
        version: of Hermes, today.
    """
    decided = record.filter(pl.col("kind") == "decision").unique("datetime", keep="first", maintain_order=True)
    span = pl.col("datetime").is_between(decided["datetime"].min(), decided["datetime"].max())
    today = _with_shorts(decide(bars, None).filter(span), _TODAY, (*_PRICES, *_DECISION))
    compared = pl.concat(
        [_compared(part, bars, decide, judge) for (_,), part in decided.group_by("parameters", maintain_order=True)],
        how="diagonal",
    )
    joined = today.join(compared, on="datetime", how="full", coalesce=True).sort("datetime")
    found = _explained(joined, _history_changed(record, bars), bars["datetime"][-1], version)
    return Reconciliation(_with_details(found, record), _changes(decided))


def _compared(rows: pl.DataFrame, bars: pl.DataFrame, decide: Decide, judge: Judge) -> pl.DataFrame:
    """Rows that were decided with the same parameters, beside the same decisions made today, with these parameters."""
    recorded = _with_shorts(rows, _RECORDED, (*_PRICES, *_DECISION)).with_columns(
        rows.select("server_time", "late", "parameters", "hermes", "sequence")
    )
    parameters: str = rows["parameters"][0]
    try:
        own = decide(bars, parameters)
    except StrategyError as error:
        return recorded.with_columns(**_OTHER_RULES, rules=pl.lit(error.message))
    rules = [name for name in own.columns if name not in ("datetime", "symbol", *_PRICES, *_DECISION)]
    if lacking := [name for name in rules if name not in rows.columns]:
        why = f"the rules read or name {', '.join(lacking)} now"
        return recorded.with_columns(**_OTHER_RULES, rules=pl.lit(why))
    beside = rows.select("datetime", *_PRICES, *rules, *_DECISION).join(
        _prefixed(own, _OWN, (*_PRICES, *rules, *_DECISION)),
        on="datetime",
        how="left",
    )
    overlaid = own.select("datetime", *_PRICES, *rules).update(
        beside.select("datetime", *_PRICES, *rules), on="datetime"
    )
    replayed = _prefixed(judge(overlaid, parameters), _REPLAYED, (*rules, *_DECISION))
    beside = beside.join(replayed, on="datetime", how="left")
    flags = [name for name in rules if own.schema[name] == pl.Boolean]
    indicators = [name for name in rules if name not in flags]
    told = [*flags, "buy_signal", "sell_signal"]
    return recorded.with_columns(
        beside.select(
            signals_differ=_any(
                [
                    *(_apart(pl.col(name), pl.col(_OWN + name)) for name in indicators),
                    *(pl.col(name).ne_missing(pl.col(_OWN + name)) for name in told),
                ]
            ),
            position_differs=pl.col("position").ne_missing(pl.col(_OWN + "position")),
            rules=pl.when(_any(pl.col(name).ne_missing(pl.col(_REPLAYED + name)) for name in told)).then(
                pl.lit("today's rules decide otherwise on the very values that are on record")
            ),
            unknown=_any(pl.col(name).is_null() & pl.col(_OWN + name).is_not_null() for name in indicators),
        ).with_columns(differs=pl.col("signals_differ") | pl.col("position_differs"))
    )


def _explained(joined: pl.DataFrame, history: bool, newest: datetime, version: str) -> pl.DataFrame:
    """The cause of each difference; the most certain one counts."""
    recorded, in_silver = pl.col("sequence").is_not_null(), pl.col("today_close").is_not_null()
    moved = _any(pl.col(_RECORDED + name).ne_missing(pl.col(_TODAY + name)) for name in _PRICES)
    revised = recorded & (~in_silver | moved)
    differs = recorded & pl.col("differs").fill_null(value=False)
    told = [name for name in (*_DECISION, *SHORTS) if {_RECORDED + name, _TODAY + name} <= set(joined.columns)]
    other = _any(pl.col(_RECORDED + name).ne_missing(pl.col(_TODAY + name)) for name in told)
    by_rules = pl.col("rules").is_not_null()
    earlier = pl.lit(history) | (revised | (~recorded & in_silver)).cum_max().fill_null(value=False)
    direct = (
        pl.when(recorded & (pl.col("datetime") > newest)).then(pl.lit(_NOT_CHECKED))
        .when(~recorded).then(pl.lit(_MISSED))
        .when(revised).then(pl.lit(_REVISED))
        .when(differs & by_rules).then(pl.lit(_RULES))
        .when(differs & pl.col("unknown") & ~pl.lit(history)).then(pl.lit(_RULES))
        .when(differs & pl.col("signals_differ") & earlier).then(pl.lit(_REVISED))
        .when(differs & (pl.col("hermes") != version)).then(pl.lit(_RULES))
        .when(~differs & other).then(pl.lit(_RULES))
        .when(differs & pl.col("signals_differ")).then(pl.lit(_UNEXPLAINED))
    )  # fmt: skip
    causes = joined.with_columns(cause=direct)
    # A position that alone differs was carried on from a bar that differed before, or from the history.
    lasting = pl.col("cause").filter(pl.col("cause").is_in([_REVISED, _RULES, _UNEXPLAINED]))
    before = pl.when(pl.col("cause").is_in([_REVISED, _RULES, _UNEXPLAINED])).then("cause").forward_fill()
    inherited = (
        pl.when(before.is_not_null()).then(before)
        .when(pl.lit(history)).then(pl.lit(_REVISED))
        .when((lasting == _RULES).any()).then(pl.lit(_RULES))
        .otherwise(pl.lit(_UNEXPLAINED))
    )  # fmt: skip
    return causes.with_columns(
        cause=pl.when(pl.col("cause").is_null() & differs)
        .then(inherited)
        .when(pl.col("cause").is_null() & pl.col("late").fill_null(value=False))
        .then(pl.lit(_LATE))
        .otherwise(pl.col("cause"))
    )


def _with_details(found: pl.DataFrame, record: pl.DataFrame) -> pl.DataFrame:
    revisions = record.filter(pl.col("kind") == "revision")["datetime"].unique().to_list()
    prices = [
        pl.when(pl.col(_RECORDED + name).ne_missing(pl.col(_TODAY + name))).then(
            pl.format(f"{name} {{}} is {{}} now", _RECORDED + name, _as_text(_TODAY + name))
        )
        for name in _PRICES
    ]  # fmt: skip
    moved = pl.concat_str(prices, separator=", ", ignore_nulls=True)
    noted = pl.when(pl.col("datetime").is_in(revisions)).then(pl.lit(", on record as a revision")).otherwise(pl.lit(""))
    wait = (pl.col("server_time") - pl.col("datetime")).dt.total_seconds()
    rules = pl.col("rules").fill_null("other rules or parameters decide differently")
    detail = (
        pl.when(pl.col("cause") == _NOT_CHECKED).then(pl.lit("silver does not reach this bar yet"))
        .when(pl.col("cause") == _MISSED).then(pl.lit("silver has this bar, the record does not"))
        .when((pl.col("cause") == _REVISED) & (moved != "")).then(moved + noted)
        .when(pl.col("cause") == _REVISED).then(pl.lit("an earlier bar was revised"))
        .when(pl.col("cause") == _RULES).then(rules)
        .when(pl.col("cause") == _LATE).then(pl.format("decided {} s after its bar opened", wait))
        .when(pl.col("cause") == _UNEXPLAINED).then(pl.lit("bars, parameters and rules are the same as on record"))
    )  # fmt: skip
    names = ("sequence", "server_time", "late")
    sides = [side + name for side in (_RECORDED, _TODAY) for name in (*_PRICES, *_DECISION, *SHORTS)]
    shown = [name for name in sides if name in found.columns]
    return found.select("datetime", "cause", detail.alias("detail"), *names, *shown)


def _history_changed(record: pl.DataFrame, bars: pl.DataFrame) -> bool:
    """Whether the bars before the record are not those that its first decision was based on."""
    first = record.row(0, named=True)
    if first["sequence"] != 0:
        return False
    history = bars.filter(pl.col("datetime") < first["datetime"])
    digests = [
        Head.before_first(pl.concat([before, record.head(1)], how="diagonal")) for before in (history, history.clear())
    ]
    return first["bars_sha256"] not in [head.bars_sha256 for head in digests]


def _changes(decided: pl.DataFrame) -> list[Change]:
    found = []
    for what in ("parameters", "hermes"):
        moved = decided.with_columns(before=pl.col(what).shift(1)).filter(pl.col("before") != pl.col(what))
        found += [Change(at, what, *pair) for at, *pair in moved.select("datetime", "before", what).iter_rows()]
    return sorted(found, key=lambda change: change.datetime)


def _with_shorts(frame: pl.DataFrame, prefix: str, names: tuple[str, ...]) -> pl.DataFrame:
    return _prefixed(frame, prefix, (*names, *(name for name in SHORTS if name in frame.columns)))


def _prefixed(frame: pl.DataFrame, prefix: str, names: tuple[str, ...]) -> pl.DataFrame:
    return frame.select("datetime", *(pl.col(name).alias(prefix + name) for name in names))


def _apart(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    scale = pl.max_horizontal(one.abs(), other.abs())
    return (one.is_null() != other.is_null()) | ((one - other).abs() > _RELATIVE * scale).fill_null(value=False)


def _as_text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).fill_null("gone")


def _any(expressions: Any) -> pl.Expr:
    return pl.any_horizontal(list(expressions))


def as_json(found: Reconciliation) -> Mapping[str, Any]:
    """The JSON object of the command line: counts, changes and every difference."""
    told = found.differences.select("datetime", "sequence", "cause", "detail")
    return {
        "bars": found.bars.height,
        "causes": found.causes,
        "changes": [
            {"datetime": each.datetime.isoformat(), "what": each.what, "before": each.before, "after": each.after}
            for each in found.changes
        ],
        "differences": [
            {"datetime": at.isoformat(), "sequence": sequence, "cause": cause, "detail": detail}
            for at, sequence, cause, detail in told.iter_rows()
        ],
    }
