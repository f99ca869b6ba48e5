"""What the pipeline would refuse is refused before the first decision: what is on record cannot be taken back."""

from hermes.errors import AuditFault
from hermes.indicators.registry import known_indicators
from hermes.lake.store import Lake
from hermes.settings import Settings
from hermes.stages.audit.causality import judge_rules
from hermes.stages.signals.generate import check_context
from hermes.steps.feature_tables import production_table, set_table, with_definitions
from hermes.steps.indicators import doubts
from hermes.strategies.base import Strategy
from hermes.strategies.columns import signal_rules
from hermes.strategies.contract import check_strategy


def check_decidable(settings: Settings, lake: Lake, strategy: Strategy) -> None:
    """Refuse a strategy whose decisions no later run could repeat.

    Args:
        settings: of one of the datasets.

    Raises:
        StrategyError, UsageError: the strategy does not keep its contract, or looks back farther than the context; a
            promoted column has another definition here; a feature set has no columns, or one that cannot be made.
        AuditFault: the form of a rule shows that it looks at later bars, or back without end.
        UnknownIndicator, IndicatorError: a column that nothing can be made from, or that looks at later bars.
    """
    check_strategy(strategy)
    check_context(strategy, settings.signals.context_rows)
    judged = judge_rules(strategy.conditions(), signal_rules(strategy), strategy.look_back).whole
    if judged.verdict == "fault":
        cure = "correct the strategy; `hermes audit` shows every check"
        raise AuditFault(f"{strategy.name}: {judged.reasons[0]}", cure)
    doubts(strategy.columns, known_indicators(settings.features.indicators))
    production_table(settings, lake)
    if settings.features.feature_set:
        with_definitions(set_table(settings, lake), settings, settings.features.columns)
