"""The doors of the contract tests: the standard library's class, an embedded pipeline, a running one of two workers;
and GNU parallel beside `penstock run`."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Protocol

import pytest

from conftest import Cli
from penstock import Pipeline
from support.stations import LIMIT, Stations, free_url, logs, until

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def context() -> BaseContext:
    """How the standard library's pools start: not by a fork of this process, which has threads."""
    made = multiprocessing.get_context("forkserver")
    with made.Pool(1) as pool:
        pool.apply(abs, (1,))
    return made


@pytest.fixture(scope="session")
def running() -> Iterator[str]:
    """The URL of a running pipeline with two workers, who can import what the tests can."""
    folder = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))
    stations = Stations(folder, free_url())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        stations.start("ventilator", "sink", "one", "two")
    try:
        with Pipeline(stations.url) as pipeline:
            until(lambda: len(pipeline.workers()) == 2, what="both workers are there")
        yield stations.url
    finally:
        stations.close()
        print("\n".join(logs(folder)))
        shutil.rmtree(folder)


class Door(Protocol):
    """What makes pools and executors of two slots."""

    def pool(self, *args: Any, **kwargs: Any) -> Any:
        """A pool."""

    def executor(self) -> AbstractContextManager[Any]:
        """An executor."""


class Standard:
    """The standard library's."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context

    def pool(self, *args: Any, **kwargs: Any) -> Any:
        """multiprocessing.Pool."""
        return self._context.Pool(2, *args, **kwargs)

    def executor(self) -> AbstractContextManager[Any]:
        """concurrent.futures.ProcessPoolExecutor."""
        return ProcessPoolExecutor(2, self._context)


class Ours:
    """Penstock's: embedded, or on the pipeline at a URL."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    def pool(self, *args: Any, **kwargs: Any) -> Any:
        """penstock.Pool."""
        from penstock import Pool

        return Pool(2, *args, **kwargs) if self._url is None else Pool(None, *args, **kwargs, url=self._url)

    def executor(self) -> AbstractContextManager[Any]:
        """penstock.Pipeline."""
        return Pipeline("local", slots=2) if self._url is None else Pipeline(self._url)


@pytest.fixture(scope="session")
def standard(context: BaseContext) -> Door:
    """The standard library."""
    return Standard(context)


@pytest.fixture(scope="session", params=["embedded", "connected"])
def door(request: pytest.FixtureRequest) -> Door:
    """Penstock, both ways."""
    return Ours(None if request.param == "embedded" else request.getfixturevalue("running"))


Done = subprocess.CompletedProcess[bytes]


@pytest.fixture
def gnu(folder: Path) -> Cli:
    """Runs a line through GNU parallel."""
    if shutil.which("parallel") is None and not os.environ.get("CI"):
        pytest.skip("GNU parallel is not here: scripts/test installs it as root")

    def run(*words: str, stdin: bytes = b"") -> Done:
        return subprocess.run(
            ["parallel", "--will-cite", *words],
            input=stdin,
            capture_output=True,
            cwd=folder,
            timeout=LIMIT,
            check=False,
            env=os.environ | {"HOME": str(folder), "PARALLEL_SHELL": os.environ.get("SHELL", "/bin/sh")},
        )

    return run


@pytest.fixture
def theirs(gnu: Cli, folder: Path) -> Cli:
    """Runs a line through GNU parallel, one job at a time, where the files `one` and `two` are."""
    (folder / "one").write_text("1 uno\n2\n")
    (folder / "two").write_text("a\nb\n")
    return partial(gnu, "-j1")


@pytest.fixture
def ours(cli: Cli, running: str) -> Cli:
    """Runs it through penstock, in the same folder."""

    def run(*words: str, stdin: bytes = b"") -> Done:
        return cli("run", *([] if "-j1" in words else ["--url", running]), *words, stdin=stdin)

    return run
