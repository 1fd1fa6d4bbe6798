"""What a driver did, event by event: JSON lines in ``logs`` of the results folder, written while it runs, read from anywhere."""

from orchestrator.logs.copies import LogCopies
from orchestrator.logs.entries import Entry, EntryReader
from orchestrator.logs.journal import Journal
from orchestrator.logs.watched_pool import Doing, WatchedPool

__all__ = ["Doing", "Entry", "EntryReader", "Journal", "LogCopies", "WatchedPool"]
