"""A batch as its readers like to look at it: as a sequence, a table, a picture, and in a notebook."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic

from penstock.client import html
from penstock.client.records import Outcome, T_co
from penstock.client.timeline import timeline

if TYPE_CHECKING:
    from penstock.client.records import BatchStatus

PROGRESS_INTERVAL = 0.5
"""Seconds between two looks of `progress`: people read no faster."""
ERASE_LINE = "\r\x1b[2K"


class BatchViews(ABC, Generic[T_co]):
    """What `penstock.Batch` shows of its status, its values and its outcomes."""

    @abstractmethod
    def status(self) -> BatchStatus:
        """The state of the batch now."""

    @abstractmethod
    def values(self) -> Iterator[T_co]:
        """An iterator over the values in the order of the jobs."""

    @abstractmethod
    def outcomes(self) -> Iterator[Outcome[T_co]]:
        """An iterator over the outcomes in the order of the jobs."""

    def __len__(self) -> int:
        """How many jobs it has; of a batch that still takes in jobs, how many by now."""
        return self.status().accepted

    def __bool__(self) -> bool:
        """True: a handle is there, also of a batch without jobs."""
        return True

    def __iter__(self) -> Iterator[T_co]:
        """An iterator over the values in the order of the jobs, as `values` returns it."""
        return self.values()

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each outcome, in the order of the jobs, whose index is that of the job: the
        other fields of an Outcome are its columns, and `started` is a time in UTC. It waits for jobs that have not
        ended. Raises ImportError where pandas is not installed."""
        import pandas as pd  # noqa: PLC0415 - of those who ask for it

        records = [one.asdict() for one in self.outcomes()]
        rows = pd.DataFrame(records, columns=list(Outcome.__struct_fields__)).set_index("index")
        rows["started"] = pd.to_datetime(rows["started"].where(rows["started"] > 0), unit="s", utc=True)
        return rows

    def timeline(self) -> str:
        """A picture of who ran what when, as SVG: a line for each slot, a box for each job. It waits for jobs that have
        not ended."""
        return timeline(self.outcomes())

    def progress(self) -> BatchStatus:
        """Show a bar until the batch has ended: in a notebook below its cell, on a terminal as a line on stderr, else
        nowhere. An interrupt ends the bar and not the jobs. Returns the last status."""
        status = self.status()
        show, end = _shower(status)
        try:
            while not status.done:
                time.sleep(PROGRESS_INTERVAL)
                status = self.status()
                show(status)
        finally:
            end()
        return status

    def _repr_html_(self) -> str:
        """In a notebook: a bar, and how many jobs there are of each kind."""
        return html.of_batch(self.status())


def _shower(status: BatchStatus) -> tuple[Callable[[BatchStatus], object], Callable[[], object]]:
    """Show this status, in the way that is used here: how the next ones are shown, and what is done after the last."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):  # a notebook's; that of a terminal has none
        from IPython import display as notebook  # noqa: PLC0415 - it is there

        show_first: Any = notebook.display
        return show_first(status, display_id=True).update, lambda: None
    if not sys.stderr.isatty():
        return (lambda _: None), lambda: None
    _to_stderr(status)
    return _to_stderr, lambda: sys.stderr.write("\n")


def _to_stderr(status: BatchStatus) -> None:
    sys.stderr.write(ERASE_LINE + html.in_words(status))
    sys.stderr.flush()
