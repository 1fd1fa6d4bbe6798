"""From a sweep to its items: grids, choices, and what all of it will take."""
