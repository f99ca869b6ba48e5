"""The receivers of notices: the signed webhook, and every address that Apprise sends to.

Apprise (extra `alerts`) sends short texts for people to any service: Telegram, Slack, e-mail … An address often holds a
token or a password, so it is never printed: messages name a receiver by its position in the list and its service, like
`notify.urls[0] (tgram)`.
"""

import logging
import re
from collections.abc import Callable

from hermes.errors import NoticeRefused
from hermes.monitoring import webhook
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
        found.append(Receiver(receiver_name(address, place), receiver_key(address), _people(notify, place)))
    return found


def _people(notify: NotifySettings, place: int) -> Callable[[Notice], None]:
    """Send a notice to one of Apprise's addresses, formatted by the templates."""

    def deliver(notice: Notice) -> None:
        failure = notice["event"] == "failure"
        title = notify.failure_title if failure else notify.signal_title
        text = notify.failure_text if failure else notify.signal_text
        send(notify.addresses[place], place, fill(title, notice), fill(text, notice))

    return deliver


def send(address: str, place: int, title: str, text: str) -> None:
    """Send one text to one of Apprise's addresses.

    Args:
        address: of Apprise, secret; place: its position in `notify.urls`, for messages.

    Raises:
        NoticeRefused: the text was not accepted, or the address or the extra is missing.
    """
    name = receiver_name(address, place)
    try:
        import apprise  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise NoticeRefused(f"{name} needs the extra alerts", "pip install 'hermes-signals[alerts]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its messages show addresses
    sender = apprise.Apprise()
    if not sender.add(address):
        raise NoticeRefused(
            f"{name} is not an address that Apprise knows", "write it as Apprise's documentation of the service does"
        )
    if not sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT):
        raise NoticeRefused(f"{name} did not take a notice", "check notify.urls; it is kept and sent again")


def receiver_name(address: str, place: int) -> str:
    """The name of a receiver in messages: nothing of its address but the service."""
    service = re.match(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)", address)
    return f"notify.urls[{place}]" + (f" ({service[0].lower()})" if service else "")
