"""What the options of `run` and `submit` say about the jobs, as click hands them over; `Work` makes jobs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.cli.run.arguments import ParsedWords
from penstock.cli.run.arguments_per_job import Filling
from penstock.cli.run.input_options import Marks
from penstock.cli.run.input_reading import Reading
from penstock.cli.run.replacement_strings import Naming


@dataclass(kw_only=True)
class JobOptions:
    """One field for each option, under its name."""

    files: Sequence[str]
    null: bool
    colsep: str | None
    max_args: int | None
    shell: bool | None
    one: bool
    call: str | None
    kind: str
    env: Sequence[str]
    cwd: str | None
    user: str
    name: str
    priority: int
    retries: int
    timeout: float | None
    words: Sequence[str]
    not_before: str | None = None
    expires: str | None = None
    limit: int | None = None
    worker: str | None = None
    needs: Sequence[str] = ()
    on_missing: str | None = None
    after: str | None = None
    once: str | None = None
    ship: bool = True
    retry_delay: float | None = None
    max_crashes: int | None = None
    retain: float | None = None
    serializer: str | None = None
    initializer: str | None = None
    nice: int | None = None
    keep_output: str = "all"
    pipe: bool = False
    block: int | None = None
    recend: str | None = None
    recstart: str | None = None
    reading: Reading = field(default_factory=Reading)
    naming: Naming = field(default_factory=Naming)
    filling: Filling = field(default_factory=Filling)
    marks: Marks = field(default_factory=Marks)
    slots: int = 1
    """Over which the arguments of -X and -m are spread."""
    names: list[bytes] = field(init=False, default_factory=list)
    """What --header calls the columns, once `inputs` has begun."""
    line: ParsedWords = field(init=False)
