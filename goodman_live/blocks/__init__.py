"""The steps of a reduction: each takes data and settings and returns new data."""
