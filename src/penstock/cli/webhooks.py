"""Messages to web addresses, signed as Standard Webhooks says (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from penstock.errors import ConfigError
from penstock.version import VERSION

PREFIX = "whsec_"
"""Of a secret as text; base64 of its bytes follows."""
ANSWER_BYTES = 64 << 10
"""Of an answer that are read: nobody looks at them."""


class UndeliveredError(Exception):
    """The receiver has not taken it; the text says why."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is meant for one receiver is not handed to another one."""

    def redirect_request(self, *_: Any) -> None:
        """None: the answer stays what it is, an error."""


OPENER = urllib.request.build_opener(_NoRedirects)


def load_secret(path: Path) -> bytes:
    """The secret in this file. Raises ConfigError: it cannot be read, or is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret in {path} cannot be read: {getattr(error, 'strerror', '') or error}") from None
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not secret:
        raise ConfigError(
            f"{path} has no secret: write {PREFIX} and base64 into it, as `openssl rand -base64 32` prints it"
        )
    return secret


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def post(url: str, message_id: str, timestamp: int, body: bytes, secret: bytes | None, timeout: float) -> None:
    """Hand the message over; returns when the receiver has answered with 2xx. Raises UndeliveredError."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"penstock/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if secret is not None:
        headers["webhook-signature"] = signature(secret, message_id, timestamp, body)
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - the caller's, http or https
    try:
        with OPENER.open(request, timeout=timeout) as answer:
            answer.read(ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        raise UndeliveredError(f"it answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise UndeliveredError(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise UndeliveredError(str(error) or type(error).__name__) from None
