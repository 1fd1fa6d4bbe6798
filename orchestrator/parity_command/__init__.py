"""A parity study without a sweep: from the command's words to files, a page and a diagnosis; see docs/parity.md."""
