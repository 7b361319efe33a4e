"""The steps of a reduction: each takes data and settings, returns new data, touches nothing else."""
