"""A running sweep seen and steered from elsewhere, through files in its results folder: its heartbeat, and requests to it."""
