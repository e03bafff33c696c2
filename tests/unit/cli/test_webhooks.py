"""Signatures of what is posted, and secrets that are none."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from penstock.cli.webhooks import load_secret, signature
from penstock.errors import ConfigError


def test_a_signature_is_that_of_standard_webhooks(tmp_path: Path) -> None:
    """The example of its reference libraries."""
    file = tmp_path / "secret"
    file.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    made = signature(load_secret(file), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_may_lack_the_prefix(tmp_path: Path) -> None:
    """As openssl prints it."""
    file = tmp_path / "secret"
    file.write_bytes(base64.b64encode(b"s" * 32))
    assert load_secret(file) == b"s" * 32


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_not base64!"])
def test_what_is_no_secret_is_refused(tmp_path: Path, text: str) -> None:
    """With the file and what belongs into it: nothing goes out unsigned by mistake."""
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"secret has no secret: write whsec_ and base64 into it"):
        load_secret(file)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_secret(tmp_path / "none")
