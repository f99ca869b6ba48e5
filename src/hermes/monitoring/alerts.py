"""Short texts for people about signals and failures, to any service that Apprise knows: Telegram, Slack, e-mail …

`[notify] urls` are Apprise's addresses (extra `alerts`). An address often holds a token or a password, so it is never
printed: messages name a receiver by its position in the list and its service, like `notify.urls[0] (tgram)`.
"""

import logging
import re

from hermes.errors import NoticeRefused


def send(address: str, place: int, title: str, text: str) -> None:
    """Send one text to one receiver.

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
