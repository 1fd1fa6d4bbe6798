"""The sweep file, piece by piece: its fields, its text with line numbers, its models, behaviors and grids, and what is wrong."""
