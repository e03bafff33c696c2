"""The two files that are the pipeline's only state. This folder is the only import of apsw."""

from penstock.store.file import StoreFile, prepare
from penstock.store.queue import QueueStore
from penstock.store.results import ResultStore

__all__ = ["QueueStore", "ResultStore", "StoreFile", "prepare"]
