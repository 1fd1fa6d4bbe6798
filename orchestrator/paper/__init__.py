"""The inverse-scaling paper as reference data: its tables, an audit of its statistics, and a sweep beside it."""
