"""Two cells, two groups, or the levels of an axis against each other: rates, tests, effect sizes, transfer effectiveness."""
