"""Constants of the user's own modules that this process has changed since: a setting means what it means now.

A module travels as its source, which says ``N = 1``; if somebody has assigned ``module.N = 2`` since, that is sent too.
What a module's own functions assign (``global``) does not: it says what has happened in this process, not what is
wanted in others.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from penstock.job.stateless import all_code, are_plain

STORE_GLOBAL = {"STORE_GLOBAL", "DELETE_GLOBAL"}


class Constant(NamedTuple):
    """A name at the top of a module that its source gives a plain value."""

    module: str
    name: str
    value: Any

    @property
    def now(self) -> Any:
        """What it is in this process."""
        return vars(sys.modules[self.module]).get(self.name, self.value) if self.module in sys.modules else self.value


def constants_of(module: str, text: bytes, code: CodeType) -> list[Constant]:
    """Those of a loaded module, of which this is the source and its code."""
    known = dict(pair for statement in ast.parse(text).body for pair in _assigned(statement))
    own = _set_by_functions(code)
    return [Constant(module, name, value) for name, value in known.items() if name not in own and are_plain((value,))]


def changed(constants: list[Constant]) -> dict[str, dict[str, Any]]:
    """Those that are another plain value now, by module and name."""
    found: dict[str, dict[str, Any]] = {}
    for one in constants:
        now = one.now
        if (type(now) is not type(one.value) or now != one.value) and are_plain((now,)):
            found.setdefault(one.module, {})[one.name] = now
    return found


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, Any]]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return
    try:
        value = ast.literal_eval(statement.value)
    except ValueError:
        value = None, []  # another kind of value: no constant, also if an earlier statement made it one
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, value


def _set_by_functions(code: CodeType) -> set[str]:
    from dis import get_instructions  # noqa: PLC0415 - only where there are modules of one's own

    inner = (one for one in all_code(code) if one is not code)
    return {str(step.argval) for one in inner for step in get_instructions(one) if step.opname in STORE_GLOBAL}
