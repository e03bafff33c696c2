"""Which pipeline is meant: by argument, by key, by environment, or one of its own."""

from __future__ import annotations

import os

from penstock.job import current_job
from penstock.keys.files import KeyFile, load
from penstock.keys.roles import Role

URL_VARIABLE = "PENSTOCK_URL"
KEY_VARIABLE = "PENSTOCK_KEY"
JOB_VARIABLE = "PENSTOCK_JOB_ID"
"""In the environment of commands: what they start is part of a job too."""

KEYLESS = ("local", "inline", "ipc:")
"""Beginnings of URLs that nobody else reaches."""


def locate(url: str | None, key: str | os.PathLike[str] | None) -> tuple[str, KeyFile | None]:
    """The URL and the key to use there: arguments before the environment, and a key's own URL where none is given.

    Raises ConfigError: the key file cannot be used; ValueError: a key with a pipeline that needs none; TypeError: the
    URL is no text.
    """
    if url is not None and not isinstance(url, str):
        raise TypeError(f"url must be text, not {type(url).__name__}")
    if key is not None and (url or "").startswith(KEYLESS):
        raise ValueError(f"key= is for a pipeline that others can reach: {url} is not")
    if key is None:
        if url is None and (current_job.in_slot() or JOB_VARIABLE in os.environ):
            return "local", None
        url = url or os.environ.get(URL_VARIABLE) or None
        key = os.environ.get(KEY_VARIABLE) or None
    if key is None or (url or "").startswith(KEYLESS):
        return url or "local", None
    loaded = load(key, Role.ADMIN, Role.SUBMIT, Role.OBSERVE)
    return url or loaded.url, loaded
