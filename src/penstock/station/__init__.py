"""What the ventilator, the sink and the worker have in common: the loop around a pure core, settings, log, store
file."""
