"""Scripts and styles of Panel and Bokeh, from this server under addresses with versions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tornado.web

YEAR_SECONDS = 365 * 24 * 3600
# Drawing by the graphics card, and a library for browsers that cannot load modules.
_NOT_NEEDED = ("bokeh-gl", "es-module-shims")


class Asset(tornado.web.StaticFileHandler):
    """A script or style; its address holds the version, so browsers may keep it."""

    def get_cache_time(self, path: str, modified: object, mime_type: str) -> int:
        return YEAR_SECONDS

    def check_xsrf_cookie(self) -> None:
        """Reading a file changes nothing."""


class BokehAsset(Asset):
    """A script of Bokeh, asked for under the name it has on Bokeh's own server."""

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        released = re.fullmatch(r"(bokeh(?:-[a-z]+)*)-\d[\w.]*?((?:\.min)?\.js)", path)
        name = "".join(released.groups()) if released else path
        return super().get_absolute_path(root, f"js/{name}")


def handlers() -> list[tuple[str, type[Asset], dict[str, Any]]]:
    """Paths beneath the server's, and who answers there."""
    import bokeh
    import panel

    panel_dist = Path(panel.__file__).parent / "dist"
    bokeh_static = Path(bokeh.__file__).parent / "server" / "static"
    return [
        (r"/assets/panel/[^/]+/dist/(.*)", Asset, {"path": str(panel_dist)}),
        (r"/assets/bokeh/release/(.*)", BokehAsset, {"path": str(bokeh_static)}),
    ]


def panel_scripts(assets: str) -> list[str]:
    """Addresses of the scripts of Panel and Bokeh that our pages need, in the order they load."""
    import panel
    import panel.models.esm
    from bokeh.resources import CDN
    from panel.io.resources import CDN_DIST, Resources, bundle_resources, set_resource_mode

    with set_resource_mode("cdn"):
        bundle = bundle_resources(None, Resources.from_bokeh(CDN, notebook=True), notebook=True)
    scripts = []
    for url in map(str, bundle.js_files):
        if any(name in url for name in _NOT_NEEDED):
            continue
        if "/bokeh/release/" in url:
            scripts.append(f"{assets}bokeh/release/{url.rsplit('/', 1)[1]}")
        else:
            scripts.append(url.replace(CDN_DIST, f"{assets}panel/{panel.__version__}/dist/"))
    return scripts
