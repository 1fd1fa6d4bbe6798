"""Contenders that need an environment of their own: each a script that loads once, then answers one line per run."""
