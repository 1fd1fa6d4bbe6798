"""Every fault that docs/running.md names, caused end to end: what is retried, what is recorded, what the user reads."""
