"""Tests of the response browser."""
