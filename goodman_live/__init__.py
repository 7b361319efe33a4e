"""Live reduction and dashboards for the Goodman spectrograph of the SOAR telescope.

Importing the package loads nothing but its version: import the layer you need
(`goodman_live.recipes` for the numbers, `goodman_live.catalog` for an archive,
`goodman_live.widgets` for pages).
"""

__version__ = "0.1.0"
