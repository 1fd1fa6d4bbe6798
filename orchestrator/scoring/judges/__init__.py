"""Judges: a model at an OpenAI-compatible endpoint reads each answer beside a rubric."""
