"""What runs beside a GPU: knows one model; never a sweep, a cell or a path of results."""
