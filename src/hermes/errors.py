"""All exceptions of Hermes: each message names the value, what was expected, and the cure.

`exit_code` is what the command line returns: 1 failed, 2 wrong usage, 3 a check found a fault.
"""


def first_line(text: str) -> str:
    """The first line of another library's message, at most 300 characters."""
    return (text.splitlines() or [""])[0][:300]


class HermesError(Exception):
    """The root of every error that Hermes raises on purpose.

    Args:
        message: one line that names the value and what was expected.
        cure: one line that says what to do about it; may be empty where the message says it.
    """

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} → {self.cure}" if self.cure else self.message


class UsageError(HermesError):
    """A value that can be refused before any work starts: a name, an option, a setting."""

    exit_code = 2


class NameRefused(UsageError):
    """A symbol, interval, market … that the naming convention does not allow."""


class UnknownIndicator(UsageError):
    """A column name that no indicator can be made from: an unknown family, or parameters out of range."""


class IndicatorError(UsageError):
    """An indicator that does not keep its contract, or whose file or package cannot be loaded."""


class IndicatorFault(IndicatorError):
    """An indicator whose form shows that it looks at later bars."""

    exit_code = 3


class SettingsError(UsageError):
    """A setting that is unknown or has an impossible value; says where it was found."""


class ArchiveError(HermesError):
    """The exchange's archive cannot be reached, or lacks the requested files."""


class ChecksumMismatch(ArchiveError):
    """A file's bytes differ from its published CHECKSUM, even after a second fetch."""


class ExchangeError(HermesError):
    """The exchange gave no answer that can be trusted.

    Args:
        is_final: asking again would not help.
    """

    def __init__(self, message: str, cure: str = "", is_final: bool = False) -> None:
        super().__init__(message, cure)
        self.is_final = is_final


class SymbolUnknown(ExchangeError):
    """The exchange lists no such symbol."""


class NotServed(ExchangeError):
    """The exchange does not serve the place that requests come from."""


class Banned(ExchangeError):
    """The exchange has banned this address for a while: no request is sent until then.

    Args:
        seconds: until the ban ends.
    """

    def __init__(self, message: str, cure: str, seconds: float) -> None:
        super().__init__(message, cure, is_final=True)
        self.seconds = seconds


class KlinesRefused(HermesError):
    """A whole archive file that cannot be trusted: its zip, columns, time unit, symbol or period."""


class QualityFault(HermesError):
    """Too many rows of one file broke a rule."""


class StoreError(HermesError):
    """The lake cannot be read or written: unreachable, refused, read-only, full."""


class MissingTable(HermesError):
    """A table that the step needs is not in the lake yet."""


class Misplaced(StoreError):
    """A file of the lake was published elsewhere, and copied to where it is now."""


class NewerLake(StoreError):
    """A file of the lake was made by a newer Hermes, in a format that this one does not know."""


class AlreadyPublished(StoreError):
    """The name to publish under is already taken."""


class ClusterError(HermesError):
    """The cluster that tasks were to run on cannot be reached or started, or lost them."""


class DatasetLocked(HermesError):
    """Another process holds the lock of the dataset; the message says which."""


class LockLost(StoreError):
    """The lock of a dataset was lost while it was worked on: nothing more of it may be published."""


class NoticeRefused(HermesError):
    """A receiver did not accept a notice; the run itself continues."""


class SourceChanged(StoreError):
    """Files were replaced while they were being read, again and again."""


class TableRefused(HermesError):
    """A table that cannot be used: missing columns, rows out of order, duplicates, a foreign symbol."""


class NoBars(TableRefused):
    """A table that has no bar between start and end."""


class StrategyError(HermesError):
    """A strategy that is unknown, misconfigured, or does not keep its contract."""


class StrategyUnknown(StrategyError):
    """A name that no strategy has."""

    exit_code = 2


class ParametersRefused(StrategyError):
    """Parameters that a strategy does not have, or cannot take."""

    exit_code = 2


class AuditFault(HermesError):
    """An audit or a quality check found a fault."""

    exit_code = 3
