"""The figures of the page: each a file that gives its tidy data and says how they look, and a line in ``registry.FIGURES``."""
