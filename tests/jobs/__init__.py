"""Functions that tests give to workers, which import them by name: `common`, `contract` and `fault`, after their users.

A function's own modules travel with it, a package as a whole. So these have a package of their own.
"""
