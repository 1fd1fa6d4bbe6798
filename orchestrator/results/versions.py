"""The versions of the Parquet files of a results folder."""

SCHEMA_VERSION = 3
"""Raise it when the meaning of what a part says changes, so that readers who know only the earlier one refuse it. A new column is
no reason: readers that do not know it ignore it, and where it is lacking it reads as its default.

2: ``marked_response`` and ``prompt_opens`` of responses, ``answer`` of labels. 3: there may be columns that a reader does not
know, which those of versions 1 and 2 would take for damage.
"""

TABLES_VERSION = 10
"""Raise it when the compacted tables change: they are then made anew from the parts."""
