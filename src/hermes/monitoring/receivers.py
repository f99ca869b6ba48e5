"""The receivers of notices: the signed webhook, and every address that Apprise sends to."""

from collections.abc import Callable

from hermes.monitoring import alerts, webhook
from hermes.monitoring.outbox import Notice, Receiver, receiver_key
from hermes.redaction import remember
from hermes.settings import NotifySettings
from hermes.settings.templates import fill


def find_receivers(notify: NotifySettings) -> list[Receiver]:
    """Every receiver that the settings name."""
    found = []
    if notify.url:
        address = notify.url.get_secret_value()
        found.append(
            Receiver("notify.url", receiver_key(address), lambda notice: webhook.send(notify, notice["id"], notice))
        )
    for place, address in enumerate(notify.addresses):
        remember(address)
        found.append(Receiver(alerts.receiver_name(address, place), receiver_key(address), _people(notify, place)))
    return found


def _people(notify: NotifySettings, place: int) -> Callable[[Notice], None]:
    """Send a notice to one of Apprise's addresses, formatted by the templates."""

    def send(notice: Notice) -> None:
        failure = notice["event"] == "failure"
        title = notify.failure_title if failure else notify.signal_title
        text = notify.failure_text if failure else notify.signal_text
        alerts.send(notify.addresses[place], place, fill(title, notice), fill(text, notice))

    return send
