"""SinkCore against a model of what must be recorded and told, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import settings

from support.sink_machine import SinkMachine

TestSinkMachine = SinkMachine.TestCase
TestSinkMachine.settings = settings(max_examples=100, stateful_step_count=80, deadline=None)
