"""The webhook: a signed POST as specified by Standard Webhooks.

Each notice is JSON with three headers. `webhook-id` is the same whenever the same notice is sent again, by a
retry or by a later run: ignore known ids. `webhook-timestamp` is the second of sending (Unix); refuse old ones.
`webhook-signature` is `v1,` and the base64 of an HMAC-SHA256, made with the secret over `{id}.{timestamp}.{body}`, the
body's bytes exactly as they came. To verify it, in any language, take a Standard Webhooks library and a secret
`whsec_…` (base64 after the underscore), or compute it:

    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(f"v1,{expected}", headers["webhook-signature"])

where `key` is the decoded rest of a `whsec_…` secret, and the secret's own bytes for any other. Without a secret there
is no signature. Any 2xx answer means accepted. Redirects are not followed.
"""

import base64
import binascii
import hmac
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from time import sleep, time
from typing import Any
from urllib.parse import urlsplit

from hermes.errors import NoticeRefused
from hermes.settings.sections import NotifySettings
from hermes.version import __version__
from hermes.workers.deadline import within

DEADLINE_S = 20.0  # for a whole notice, all attempts, however slowly a receiver answers
TIMEOUT_S = 5.0  # for the connection, and for each wait on it
PAUSES_S = (0.5, 2.0)  # before the second and the third attempt
_AGAIN = (408, 425, 429)  # what is worth another attempt, beside 5xx
_BASE64 = "whsec_"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuse redirects: a notice is for its own receiver only."""


def send(notify: NotifySettings, notice_id: str, told: Mapping[str, Any]) -> None:
    """POST one notice, three times at most.

    Args:
        notify: the section of the settings, with an address.
        notice_id: the same whenever the notice is sent again.

    Raises:
        NoticeRefused: the notice was not accepted in time.
    """
    body = json.dumps(told, ensure_ascii=False).encode()
    try:  # a receiver that sends a byte now and then holds a connection for ever: whoever waits for it does not
        within(DEADLINE_S, _send, notify, notice_id, body)
    except TimeoutError:
        raise _refused(notify, TimeoutError(f"no answer within {DEADLINE_S:g} s")) from None


def _send(notify: NotifySettings, notice_id: str, body: bytes) -> None:
    """POST until the notice is accepted, at most three times."""
    for pause in (*PAUSES_S, None):
        try:
            return _post(notify, notice_id, body)
        except _Worthless as error:
            raise _refused(notify, error) from None
        except (OSError, http.client.HTTPException) as error:
            if pause is None:
                raise _refused(notify, error) from None
            sleep(pause)
    return None


def signature(secret: str, notice_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`.

    Raises:
        NoticeRefused: the secret begins with whsec_ and is not base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_BASE64), validate=True) if secret.startswith(_BASE64) else None
    except binascii.Error:
        raise NoticeRefused("notify.secret begins with whsec_ and is not base64 after it", "correct it") from None
    signed = f"{notice_id}.{timestamp}.".encode() + body
    made = hmac.digest(key if key is not None else secret.encode(), signed, "sha256")
    return f"v1,{base64.b64encode(made).decode()}"


class _Worthless(Exception):
    """An answer after which a retry is pointless."""


def _post(notify: NotifySettings, notice_id: str, body: bytes) -> None:
    assert notify.url
    now = int(time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"hermes/{__version__}",
        "webhook-id": notice_id,
        "webhook-timestamp": str(now),
    }
    if notify.secret and (secret := notify.secret.get_secret_value()):
        headers["webhook-signature"] = signature(secret, notice_id, now, body)
    request = urllib.request.Request(notify.url.get_secret_value(), body, headers, method="POST")
    try:
        urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500 and error.code not in _AGAIN:
            raise _Worthless(f"HTTP {error.code}") from None
        raise OSError(f"HTTP {error.code}") from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from None


def _refused(notify: NotifySettings, error: Exception) -> NoticeRefused:
    """An error that names the host only, as the rest of an address is often a secret."""
    assert notify.url
    host = urlsplit(notify.url.get_secret_value()).hostname
    what = str(error) or type(error).__name__
    return NoticeRefused(f"{host} did not take a notice: {what}", "check notify.url; the next run sends it again")
