"""What JupyterHub reads; the site's file says everything, this only hands it on."""

import os
from pathlib import Path

from goodman_live.hub.configure import configure
from goodman_live.hub.services import RUN_VARIABLE, Run
from goodman_live.hub.site import SITE_FILE_VARIABLE, read_site

site_file = os.environ.get(SITE_FILE_VARIABLE)
configure(
    get_config(),  # noqa: F821
    read_site(Path(site_file) if site_file else None),
    Run.from_json(os.environ[RUN_VARIABLE]),
)
