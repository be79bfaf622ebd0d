"""The hub's pages in our clothes: one mixin that every page takes, and the hub's own pages with it."""

from typing import Any

from jupyterhub.apihandlers.auth import OAuthAuthorizeHandler
from jupyterhub.handlers import pages as hub_pages
from jupyterhub.handlers.base import BaseHandler, UserUrlHandler
from jupyterhub.utils import url_path_join
from tornado import web

from kirzl_lab import logs, metrics
from kirzl_lab.catalog.models import Text
from kirzl_lab.federation.handlers import LoginCallback
from kirzl_lab.hub.lab import Viewer, the_lab
from kirzl_lab.look import CONTENT_SECURITY, i18n
from kirzl_lab.problems import LabDatabaseAway, NotFound, Problem, SizeFull


class LabPage:
    """Mixed into a handler of JupyterHub: language, navigation bar, and `Problem`s told as a page.

    It stands before the handler in the bases. Handlers raise `Problem` as they would raise `HTTPError`.
    """

    nav_active = ""
    viewer: Viewer | None = None

    async def prepare(self: Any) -> None:
        """Find out who looks, for the navigation bar; a lab database that is away costs only the operator's links."""
        await super().prepare()  # type: ignore[misc]
        if self.current_user is not None:
            logs.about(self.current_user.name)
            try:
                self.viewer = await the_lab().viewer(self.current_user.name)
            except LabDatabaseAway:
                self.log.warning("The lab database does not answer: the navigation bar is shown without a name")

    @property
    def content_security_policy(self: Any) -> str:
        """Stricter than JupyterHub's: our pages have no inline scripts."""
        return CONTENT_SECURITY

    @property
    def language(self: Any) -> str:
        """The language of this page: what was switched to, or else what the browser prefers."""
        return i18n.pick(self.get_cookie(i18n.COOKIE), self.request.headers.get("Accept-Language"))

    @property
    def template_namespace(self: Any) -> dict[str, Any]:
        """JupyterHub's own names and ours."""
        translations = i18n.translations(self.language)
        return super().template_namespace | {  # type: ignore[misc]
            "_": translations.gettext,
            "gettext": translations.gettext,
            "ngettext": translations.ngettext,
            "lang": self.language,
            "languages": i18n.LANGUAGES,
            "lab": the_lab().catalogue.lab,
            "viewer": self.viewer,
            "nav_active": self.nav_active,
            "lab_static": url_path_join(self.hub.base_url, "lab-static/"),
            "hub_home_url": url_path_join(self.hub.base_url, "home"),
            "hub_prefix": self.hub.base_url,
            "service_url": url_path_join(self.base_url, "services/lab/"),
            "page_path": self.page_path,
        }

    @property
    def page_path(self: Any) -> str:
        """Where a switch of the language leads: to this page, or before it where it cannot be asked for once more."""
        if isinstance(self, LoginCallback):
            return str(url_path_join(self.hub.base_url, "login"))
        if self.request.method != "GET":
            return str(url_path_join(self.hub.base_url, "home"))
        return self.request.path + (f"?{self.request.query}" if self.request.query else "")

    def send_error(self: Any, status_code: int = 500, **kwargs: Any) -> None:
        """A `Problem` has a status of its own; tornado knows only `HTTPError`'s."""
        error = kwargs.get("exc_info", (None, None))[1]
        super().send_error(error.status if isinstance(error, Problem) else status_code, **kwargs)  # type: ignore[misc]

    def log_exception(self: Any, kind: Any, value: Any, trace: Any) -> None:
        """A refusal is no error of the hub: one line, no trace."""
        count_refusal(value)
        if isinstance(value, Problem) and value.status < 500:
            self.log.info("%s %s refused: %s", self.request.method, self.request.path, value.slug)
        elif isinstance(value, Problem):
            cause = value.__cause__
            self.log.warning("%s %s failed: %s, from %r", self.request.method, self.request.path, value.slug, cause)
        else:
            super().log_exception(kind, value, trace)  # type: ignore[misc]

    def write_error(self: Any, status_code: int, **kwargs: Any) -> None:
        """`problem.html` for a `Problem`, JupyterHub's own page (in our clothes) for everything else."""
        error = kwargs.get("exc_info", (None, None))[1]
        problem = getattr(error, "problem", error)
        if not isinstance(problem, Problem):
            super().write_error(status_code, **kwargs)  # type: ignore[misc]
            return
        if not hasattr(self, "_jupyterhub_user"):  # the error came before `prepare`, as in JupyterHub's own
            self._jupyterhub_user = None
            self._resolve_roles_and_scopes()
        self.set_header("Content-Type", "text/html")
        gettext = i18n.translations(self.language).gettext
        self.write(
            self.render_template(
                "problem.html",
                sync=True,
                problem=problem,
                status_code=problem.status,
                message=problem.text(gettext, self.language),
                more=(),
                instead=_instead(problem),
            )
        )


def _instead(problem: Problem) -> dict[str, Any] | None:
    """What somebody can start at once in place of a size whose GPUs are all in use."""
    if not isinstance(problem, SizeFull):
        return None
    sizes, fields = the_lab().catalogue.sizes, problem.fields
    offered: list[tuple[str, Text]] = [(name, sizes[name].title) for name in fields["cpu_sizes"] if name in sizes]
    return {"space": fields["space"], "purpose": fields["purpose"], "sizes": offered}


def count_refusal(error: object) -> None:
    """Count what was refused, when it was: by a `Problem`, or by a `Refused` that holds one."""
    problem = getattr(error, "problem", error)
    if isinstance(problem, Problem):
        metrics.refused(problem)


class Refused(web.HTTPError):
    """A `Problem` where only an `HTTPError` is understood: in the REST API and in a spawner's hooks."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.text().replace("%", "%%"), reason=None)
        self.problem = problem
        self.jupyterhub_message = problem.text()


class SwitchLanguage(BaseHandler):
    """Remember the language and go back to the page."""

    def get(self, language: str) -> None:
        """Redirects to `next`, a path of this hub, in the new language."""
        if language not in i18n.LANGUAGES:
            raise web.HTTPError(404)
        # Servers on origins of their own read it, too. A laptop has one host, and a cookie without a domain is its alone.
        domain = self.domain if self.subdomain_host else None
        self.set_cookie(
            i18n.COOKIE, language, domain, path=self.base_url, expires_days=365, samesite="Lax", httponly=True
        )
        self.redirect(self.get_next_url(default=url_path_join(self.hub.base_url, "home")))


class SpawnPage(LabPage, BaseHandler):
    """There is no default server and no spawn form: what is started is chosen under My spaces."""

    @web.authenticated
    def get(self, _user_name: str = "", _server_name: str = "") -> None:
        """Redirects to My spaces."""
        self.redirect(url_path_join(self.hub.base_url, "home"))

    def post(self, _user_name: str = "", _server_name: str = "") -> None:
        """Redirects to My spaces as well: nothing starts without a choice."""
        self.redirect(url_path_join(self.hub.base_url, "home"), status=303)


class AdminPage(LabPage, BaseHandler):
    """The hub's admin page is closed: what it does, the operators' pages of the lab service do with an audit."""

    @web.authenticated
    async def get(self) -> None:
        """Operators are sent to People; everybody else is told that there is nothing here."""
        if self.viewer is None or not self.viewer.operator:
            raise NotFound()
        self.redirect(url_path_join(self.base_url, "services/lab/people"))


class SpawnPendingPage(LabPage, hub_pages.SpawnPendingHandler):
    """The progress of a start."""

    @web.authenticated
    async def get(self, user_name: str, server_name: str = "") -> None:
        """The page; a browser that comes back to it after the start was cancelled is sent to My spaces."""
        self.set_header("Cache-Control", "no-store")
        if user_name == self.current_user.name and server_name not in self.current_user.spawners:
            self.redirect(url_path_join(self.hub.base_url, "home"))
            return
        await super().get(user_name, server_name)


class TokenPage(LabPage, hub_pages.TokenPageHandler):
    """API tokens."""


class AcceptSharePage(LabPage, hub_pages.AcceptShareHandler):
    """Somebody shares a server."""


class ProxyErrorPage(LabPage, hub_pages.ProxyErrorHandler):
    """What the proxy shows when a server is away."""


class UserUrlPage(LabPage, UserUrlHandler):
    """The address of a server that does not run."""


class ConsentPage(LabPage, OAuthAuthorizeHandler):
    """OAuth consent."""


class NotFoundPage(LabPage, BaseHandler):
    """Every other address of the hub."""

    async def prepare(self) -> None:
        """Raises `NotFound` for every method."""
        await super().prepare()
        raise NotFound()
