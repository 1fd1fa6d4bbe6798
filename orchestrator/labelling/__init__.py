"""People label responses: a sample of them, a page of this machine's own to read them on, and what is said, saved at once."""
