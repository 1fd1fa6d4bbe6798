"""What a driver did, event by event: JSON lines in ``logs`` of the results folder, written while it runs, read from anywhere."""

from orchestrator.logs.copies import LogCopies
from orchestrator.logs.entries import EntryReader, LogEntry
from orchestrator.logs.journal import Journal

__all__ = ["EntryReader", "Journal", "LogCopies", "LogEntry"]
