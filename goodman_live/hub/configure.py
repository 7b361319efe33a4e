"""JupyterHub's values from the site's; it only sets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyterhub.utils import subdomain_hook_idna

from .. import __version__
from ..widgets.theme import root_css
from .services import API, DASHBOARDS, Run, api_prefix, api_url, hub_path, hub_services, origin
from .services import service_path as path_of
from .site import Site, read_site
from .spawners import SERVER_SCOPES, configure_spawner

TEMPLATES = Path(__file__).resolve().parent / "templates"
REFRESH_SECONDS = 60
COOKIE_DAYS = 7
# What a user may do beside their own account: use the archive and the dashboards.
USER_SCOPES = frozenset(f"access:services!service={name}" for name in (API, DASHBOARDS))


def configure(c: Any, site: Site, run: Run) -> None:
    """Set the values of JupyterHub's configuration `c`."""
    _configure_addresses(c, site, run)
    _configure_people(c, site)
    _configure_pages(c, site)
    configure_spawner(c, site, api_url(site, run))


def host_of(name: str, domain: str, kind: str) -> str:
    """The host of somebody's notebooks; services stay at the site's own."""
    return domain if kind == "service" else subdomain_hook_idna(name, domain, kind)


def configure_in_cluster(c: Any, site_file: Path) -> None:
    """Set what the hub of a Kubernetes chart does not know: people, pages, and what notebooks may.

    Addresses, services and pods are the chart's, see `hub_config/kubernetes/values.yaml`.
    """
    site = read_site(site_file)
    _configure_people(c, site)
    _configure_pages(c, site)
    c.Spawner.server_token_scopes = list(SERVER_SCOPES)


def _configure_addresses(c: Any, site: Site, run: Run) -> None:
    c.JupyterHub.bind_url = f"http://{site.host or '0.0.0.0'}:{site.port}{site.base}"
    c.JupyterHub.hub_bind_url = f"http://{site.inner}:{run.hub_port}"
    c.JupyterHub.public_url = site.address
    database = site.hub_database or f"sqlite:///{site.state / 'hub.sqlite'}"
    c.JupyterHub.db_url = database.replace("postgresql://", "postgresql+psycopg://", 1)
    c.JupyterHub.upgrade_db = True
    c.JupyterHub.cookie_secret_file = str(site.state / "cookie_secret")
    c.JupyterHub.cookie_max_age_days = COOKIE_DAYS
    if site.subdomains:
        c.JupyterHub.subdomain_host = origin(site)
        c.JupyterHub.subdomain_hook = host_of
    # The proxy is started beside the hub: it goes on while the hub starts again, and is told
    # again what leads where within these seconds.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{run.proxy_api_port}"
    c.ConfigurableHTTPProxy.auth_token = run.proxy_token
    c.JupyterHub.last_activity_interval = 5
    # Of the addresses that a request came by, the last that is not this machine's is counted.
    c.JupyterHub.trusted_downstream_ips = sorted({"127.0.0.1", "::1", site.inner})
    c.JupyterHub.log_level = "WARN"
    c.JupyterHub.services = hub_services(site, run)
    c.JupyterHub.load_roles = [
        {
            "name": "culler",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["culler"],
        }
    ]


def _configure_people(c: Any, site: Site) -> None:
    from .authenticator import GoodmanAuthenticator, GoodmanSingleSignOn

    own = not site.sign_on.name
    c.JupyterHub.authenticator_class = GoodmanAuthenticator if own else GoodmanSingleSignOn
    c.GoodmanAccounts.archive = str(site.archive)
    c.GoodmanAccounts.database = site.database
    c.GoodmanAccounts.passwords = own or site.sign_on.passwords
    c.Authenticator.allow_all = True  # whom the table of users has as active
    c.Authenticator.manage_groups = True
    c.Authenticator.auth_refresh_age = REFRESH_SECONDS
    c.Authenticator.refresh_pre_spawn = True
    c.Authenticator.username_pattern = r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?"
    c.JupyterHub.extra_user_scopes = set(USER_SCOPES)
    c.JupyterHub.oauth_require_pkce = True
    if not own:
        _configure_sign_on(c, site)


def _configure_sign_on(c: Any, site: Site) -> None:
    sign_on = site.sign_on
    c.GenericOAuthenticator.login_service = sign_on.name
    c.GenericOAuthenticator.client_id = sign_on.client_id
    c.GenericOAuthenticator.client_secret = sign_on.secret_file.read_text().strip()
    c.GenericOAuthenticator.authorize_url = sign_on.address("authorize")
    c.GenericOAuthenticator.token_url = sign_on.address("token")
    c.GenericOAuthenticator.userdata_url = sign_on.address("userinfo")
    c.GenericOAuthenticator.oauth_callback_url = f"{site.address.rstrip('/')}/hub/oauth_callback"
    c.GenericOAuthenticator.scope = ["openid", "email", "profile"]
    c.GenericOAuthenticator.username_claim = "email"


def _configure_pages(c: Any, site: Site) -> None:
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.default_url = f"{hub_path(site)}home"
    c.JupyterHub.template_vars = {
        "institute": site.institute,
        "version": __version__,
        "dashboards": path_of(site, DASHBOARDS),
        "documentation": f"{api_prefix(site)}/docs",
        "sign_on_name": site.sign_on.name,
        "goodman_colours": root_css(),
    }
    # Browsers keep no page of ours in a frame, not of a notebook either.
    headers = {
        "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'self'; object-src 'none'",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    if site.is_encrypted:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    c.JupyterHub.tornado_settings = {"headers": headers}
