"""Judges: a model reads each answer beside a rubric, at an OpenAI-compatible endpoint or as one of the sweep itself."""
