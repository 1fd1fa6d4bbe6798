"""The commands, and what they print; what they do stands elsewhere."""

from __future__ import annotations

from orchestrator.cli.commands import app

__all__ = ["app"]
