"""The hub's authenticator: federation's front, and every page and API of the hub that is ours."""

from typing import Any

from tornado.web import StaticFileHandler

from kirzl_lab.federation.authenticator import LabAuthenticator
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.refusals import Refused, Unreachable
from kirzl_lab.hub import metrics, pages, servers, spaces
from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import LabPage
from kirzl_lab.hub.session import mend
from kirzl_lab.look import STATIC
from kirzl_lab.problems import Problem


class HubAuthenticator(LabAuthenticator):
    """Handlers that an authenticator gives come before JupyterHub's own: that is how its pages are replaced."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        lab = the_lab()
        self.institutions = lab.institutions
        self.store = lab.store
        self.clock = lab.clock
        self.session_hours = lab.catalogue.lab.session_hours
        self.public_url = lab.settings.public_url
        self.contact = lab.catalogue.lab.contact
        self.login_page = _dressed(self.login_page)
        self.login_start = _dressed(self.login_start)
        self.login_callback = _dressed(self.login_callback)
        self.logout_page = _dressed(self.logout_page)
        metrics.prepare(self.institutions, lab.catalogue.sizes)

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any]:
        """Federation's, counted."""
        model = await super().authenticate(handler, data)
        metrics.LOGINS.labels(data.attempt.institution, metrics.Login.OK).inc()
        return model

    def told(self, institution: LoginInstitution, error: Refused | Unreachable | Problem, language: str) -> Problem:
        """Federation's, counted: it is asked once for every login that fails."""
        problem = super().told(institution, error, language)
        metrics.LOGINS.labels(institution.name, metrics.login_outcome(error, problem)).inc()
        return problem

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """Login, My spaces, the API for servers, and the hub's remaining pages."""
        mend(app.db)
        metrics.RUNNING.look_at(app, the_lab().catalogue.sizes)
        return [
            *super().get_handlers(app),
            (r"/home", spaces.MySpaces),
            (r"/start", spaces.Start),
            (r"/stop", spaces.Stop),
            (r"/spawn", pages.SpawnPage),
            (r"/spawn/([^/]+)", pages.SpawnPage),
            (r"/spawn/([^/]+)/([^/]+)", pages.SpawnPage),
            (r"/spawn-pending/([^/]+)", pages.SpawnPendingPage),
            (r"/spawn-pending/([^/]+)/([^/]+)", pages.SpawnPendingPage),
            (r"/api/users/([^/]+)/server", servers.ServerAPI),
            (r"/api/users/([^/]+)/servers/([^/]*)", servers.ServerAPI),
            (r"/api/oauth2/authorize", pages.ConsentPage),
            (r"/admin", pages.AdminPage),
            (r"/token", pages.TokenPage),
            (r"/accept-share", pages.AcceptSharePage),
            (r"/error/(\d+)", pages.ProxyErrorPage),
            (r"/user/(?P<user_name>[^/]+)(?P<user_path>/.*)?", pages.UserUrlPage),
            (r"/language/([a-z]+)", pages.SwitchLanguage),
            (r"/lab-static/(.*)", StaticFileHandler, {"path": str(STATIC)}),
        ]


def _dressed(handler: type) -> type:
    """The handler with the lab's language, navigation bar and way of telling a `Problem`."""
    return type(handler.__name__, (LabPage, handler), {})
