"""From a sweep to its items: grids, models and their shapes, layers, what all of it will take."""
