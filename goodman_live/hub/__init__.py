"""The hub: many people at one archive, each with their own notebooks, by one file of settings.

`site` is that file, `configure` sets JupyterHub's values from it and does nothing else. People,
proposals and passwords are those of `people`; whether somebody may see something is asked there,
never here. `supervisor` runs the programs it takes as an unprivileged user and brings back what
dies; `check` says in plain words what is missing or unsafe.
"""
