"""Which pipeline a `Pipeline` is."""

from __future__ import annotations

import pickle
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from penstock import Pipeline
from penstock.errors import ConfigError
from penstock.job import current_job


def test_a_pipeline_is_an_executor() -> None:
    """Of the standard library's kind."""
    with Pipeline("inline") as pipeline:
        assert isinstance(pipeline, Executor)
        assert isinstance(pipeline.options(retries=1), Executor)
        assert isinstance(pipeline.submit(abs, 1), Future)


def test_slots_and_data_are_for_embedded_ones() -> None:
    """A running pipeline has its own."""
    for url in ("tcp://127.0.0.1:5555", "inline"):
        with pytest.raises(ValueError, match="embedded"):
            Pipeline(url, slots=2)
        with pytest.raises(ValueError, match="embedded"):
            Pipeline(url, data="/tmp")
    with pytest.raises(ValueError, match="from 1 on"):
        Pipeline("local", slots=0)


def test_what_is_no_url_is_an_error() -> None:
    """It says what one looks like."""
    with pytest.raises(ConfigError, match="tcp://HOST:PORT"):
        Pipeline("head:5555")


def test_the_environment_names_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the program does."""
    monkeypatch.setenv("PENSTOCK_URL", "inline")
    with Pipeline() as pipeline:
        assert pipeline.url == "inline"


def test_none_is_made_while_a_slot_imports_the_users_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would start a pipeline in every slot."""
    monkeypatch.setattr(current_job.here, "loading", True)
    with pytest.raises(RuntimeError, match="while a slot imports your module"):
        Pipeline("inline")


def test_a_pipeline_cannot_travel() -> None:
    """A job makes its own."""
    with Pipeline("inline") as pipeline, pytest.raises(TypeError, match="cannot be sent to a job"):
        pickle.dumps(pipeline)


def test_cancel_takes_what_names_a_job() -> None:
    """A Future of this pipeline, a batch, or BATCH:INDEX."""
    with Pipeline("inline") as pipeline:
        batch = pipeline.batch(abs, [1])
        for job in (pipeline.submit(abs, 1), batch, batch.id, f"{batch.id}:0"):
            assert pipeline.cancel(job) == 0
        with pytest.raises(ValueError, match="not of this pipeline"):
            pipeline.cancel(Future())
        with pytest.raises(ValueError, match="BATCH:INDEX"):
            pipeline.cancel(f"{batch.id}:x")


def test_what_cannot_be_meant_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """A batch without inputs, a place that no input fills, a command without a program; names of other types."""
    with Pipeline("inline") as pipeline:
        with pytest.raises(TypeError, match="needs the inputs"):
            pipeline.batch(["make"])
        for inputs in ([["a", "b"]], [["a", "b"], ["c", "d"]], [[("a", "b", "c"), ("d", "e")]]):
            with pytest.raises(ValueError, match=r"\{-?3\} in the command"):
                pipeline.batch(["touch", "{1}", "x{-3}" if len(inputs) > 1 else "{3}"], *inputs, cwd=tmp_path)
        with pytest.raises(ValueError, match="begins with a program"):
            pipeline.command([]).result()
        with pytest.raises(TypeError, match="list of words"):
            pipeline.command(5).result()  # type: ignore[arg-type]  # that is the point
        with pytest.raises(TypeError, match="by its id or name"):
            pipeline.attach(b"last")  # type: ignore[arg-type]  # likewise
        with pytest.raises(TypeError, match="BATCH:INDEX"):
            pipeline.cancel(None)  # type: ignore[arg-type]  # likewise
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="whole number"):
        Pipeline("local", slots=1.5)  # type: ignore[arg-type]  # likewise
