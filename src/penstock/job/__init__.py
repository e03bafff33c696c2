"""What a job is, wherever it is: its spec, its function and arguments as bytes, and their text for people.

Clients make it, the ventilator and the sink keep it without looking inside, slots open and run it.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # outcomes that release 0.2 pickled name their states here
    if name == "JobState":
        from penstock.job.spec import JobState  # noqa: PLC0415 - whoever imports a part of this wing passes here

        return JobState
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
