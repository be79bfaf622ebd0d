"""Every page of the hub with sample data: rendered, checked and drawn without a hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace as Names
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kirzl_lab.catalog.models import LabFile, Text
from kirzl_lab.hub import __file__ as hub_file
from kirzl_lab.look import TEMPLATES, i18n
from kirzl_lab.problems import NotAMember, Problem, SizeFull, TokenRefused

HUB_TEMPLATES = Path(hub_file).parent / "templates"
BEGAN = datetime(2026, 11, 24, 8, 5, tzinfo=UTC)

LAB = LabFile.model_validate(
    {"title": {"de": "KIRZL Lab", "en": "KIRZL Lab"}, "contact": "lab-help@uni.example", "operators": []}
)


@dataclass(frozen=True)
class Viewer:
    """Who looks at a page."""

    hub_name: str
    display_name: str
    operator: bool


STUDENT = Viewer("student-k7f2", "Student Prüfling", operator=False)
OPERATOR = Viewer("operator-9x4d", "Operator on duty", operator=True)


@dataclass(frozen=True)
class Page:
    """A template and the names that its handler would give it."""

    template: str
    names: Mapping[str, Any] = field(default_factory=dict)
    viewer: Viewer | None = STUDENT
    problem: Problem | None = None


def size(name: str, de: str, en: str, cpus: float, memory: float, **more: Any) -> Names:
    """A size as a card shows it."""
    facts = {"gpu": None, "allowed": True, "reason": "", "default": False} | more
    return Names(name=name, title=Text(de=de, en=en), cpus=cpus, memory_gib=memory, **facts)


def server(state: str = "ready", **more: Any) -> Names:
    """A server as a card shows it."""
    facts: dict[str, Any] = {"name": "ml-101", "purpose": "work", "size_title": "CPU, 2 cores", "since": BEGAN}
    url = "/user/student-k7f2/ml-101/"
    return Names(**facts | {"state": state, "url": url, "stop_url": "/hub/stop"} | more)


SIZES = [
    size("cpu-small", "Klein", "Small", 1, 2, default=True),
    size("cpu-medium", "Mittel", "Medium", 4, 8),
    size(
        "gpu-slice",
        "GPU-Anteil",
        "GPU slice",
        8,
        32,
        gpu=Text(de="ein Teil einer GPU mit 10 GiB", en="a slice of a GPU with 10 GiB"),
        allowed=False,
        reason="this machine has no GPU",
    ),
]


def space(name: str, de: str, en: str, **more: Any) -> Names:
    """A space as a card shows it."""
    facts: dict[str, Any] = {
        "description": Text(
            de="Nächste Nachbarn, Regression und wie man Modelle beurteilt.",
            en="Nearest neighbours, regression, and how models are judged.",
        ),
        "kind": "course",
        "term": "2026/27 winter",
        "role": "student",
        "role_title": "Student",
        "sizes": SIZES,
        "server": None,
        "preview": None,
        "may_preview": False,
        "opens": None,
        "last_end": None,
        "preview_last_end": None,
    }
    return Names(**{"name": name, "title": Text(de=de, en=en)} | facts | more)


def farewell(de: str, en: str, **more: Any) -> Names:
    """A space that was lost."""
    facts: dict[str, Any] = {
        "kind": "course",
        "reason": "left",
        "purpose": "work",
        "server": None,
        "ends_at": BEGAN + timedelta(minutes=10),
        "ending": False,
        "ended_at": None,
    }
    return Names(**{"title": Text(de=de, en=en)} | facts | more)


ML = ("ml-101", "Maschinelles Lernen 101", "Machine Learning 101")
DL = ("dl-201", "Tiefes Lernen 201", "Deep Learning 201")
STAFF = {"role": "instructor", "role_title": "Instructor", "may_preview": True}
HOME = {
    "spaces": [],
    "looked_for": [],
    "limits_note": "This machine keeps each server to its cores and memory (systemd).",
}
INSTITUTIONS = [
    Names(name="uni", title=Text(de="Demo-Universität", en="Demo University"), domains=("uni.example",)),
    Names(
        name="uas",
        title=Text(de="Demo-Hochschule für Angewandte Wissenschaften", en="Demo University of Applied Sciences"),
        domains=("uas.example",),
    ),
    Names(
        name="startups", title=Text(de="Demo-Gründerzentrum", en="Demo Start-up Centre"), domains=("startups.example",)
    ),
]
SPAWNER = Names(name="ml-101", display_name="Machine Learning 101")
TOKEN = Names(
    api_id="a12",
    note="Backup on my laptop",
    scopes=["inherit"],
    last_activity=None,
    created=BEGAN.replace(tzinfo=None),
    expires_at=(BEGAN + timedelta(days=30)).replace(tzinfo=None),
)
CLIENT = {
    "description": "Server at /user/student-k7f2/ml-101/",
    "tokens": [Names(scopes=["access:servers!server=student-k7f2/ml-101", "read:users:name"])],
    "last_activity": BEGAN.replace(tzinfo=None),
    "created": BEGAN.replace(tzinfo=None),
    "token_id": "o34",
}
SCOPES = [{"scope": "read:users:name!user", "description": "Read names of users.", "filter": "user: student-k7f2"}]
TOKENS = {
    "user": Names(name="student-k7f2", escaped_name="student-k7f2"),
    "api_tokens": [TOKEN],
    "oauth_clients": [CLIENT],
    "token_expires_in_max_seconds": 0,
}
CONSENT = {
    "oauth_client": Names(description="Notes of the seminar", identifier="x", redirect_uri="https://notes.example/cb"),
    "allowed_scopes": ["read:users:name!user"],
    "scope_descriptions": SCOPES,
}
SHARE = {
    "owner": Names(name="operator-9x4d"),
    "spawner": SPAWNER,
    "spawner_ready": False,
    "code": "c",
    "scope_descriptions": SCOPES,
}

INSTEAD = {
    "space": "dl-201",
    "purpose": "work",
    "sizes": [("cpu-medium", Text(de="Mittel (nur CPU)", en="Medium (CPU only)"))],
}

PAGES: dict[str, Page] = {
    "login": Page("login.html", {"institutions": INSTITUTIONS, "last": "uas", "next_url": "/hub/home"}, viewer=None),
    "login-none": Page("login.html", {"institutions": [], "last": None, "next_url": ""}, viewer=None),
    "home": Page("home.html", HOME | {"spaces": [space(*ML, server=server()), space(*DL)]}),
    "home-staff": Page(
        "home.html",
        HOME
        | {
            "problem": "You are not a member of “ml-404”: ask the people who run it to add you.",
            "spaces": [
                space(*ML, **STAFF, server=server(), preview=server("starting", name="ml-101-view", purpose="preview")),
                space(*DL, **STAFF, server=server("stopping", since=None)),
                space("ml-102", "Fortsetzung", "The sequel", **STAFF, last_end="Your server ended by itself."),
            ],
        },
        viewer=OPERATOR,
    ),
    "home-preview": Page(
        "home.html", HOME | {"spaces": [space(*ML, **STAFF, preview=server(purpose="preview"))]}, viewer=OPERATOR
    ),
    "home-closed": Page(
        "home.html",
        HOME
        | {
            "spaces": [
                space(*ML, opens="“Introduction to Machine Learning” is open from December 1, 2026 to March 31, 2027."),
                space(*DL, sizes=[SIZES[2]], term="", description=""),
            ]
        },
    ),
    "home-lost": Page(
        "home.html",
        HOME
        | {
            "farewells": [
                farewell("Maschinelles Lernen 101", "Machine Learning 101", server=server()),
                farewell("Tiefes Lernen 201", "Deep Learning 201", server=server(), ending=True, reason="archived"),
                farewell("Fortsetzung", "The sequel", server=server(purpose="preview"), purpose="preview"),
                farewell("Statistik <1>", "Statistics <1>", ended_at=BEGAN),
                farewell(*DL[1:], reason="demoted", server=server(name="dl-201")),
            ],
            "spaces": [space(*DL, server=server(name="dl-201"))],
        },
    ),
    "home-empty": Page(
        "home.html",
        HOME
        | {
            "looked_for": [
                ("Demo University", "email", ["student@uni.example"], ""),
                ("Demo University", "number", [], "not sent by the institution"),
            ]
        },
    ),
    "spawn-pending": Page(
        "spawn_pending.html",
        {"spawner": SPAWNER, "progress_url": "/hub/api/users/student-k7f2/servers/ml-101/progress"},
    ),
    "stop-pending": Page("stop_pending.html", {"spawner": SPAWNER}),
    "not-running": Page("not_running.html", {"server_name": "ml-101"}),
    "not-started": Page(
        "not_running.html", {"server_name": "ml-101", "failed": True, "failed_message": "The folder is full."}
    ),
    "token": Page("token.html", TOKENS),
    "oauth": Page("oauth.html", CONSENT),
    "accept-share": Page("accept-share.html", SHARE),
    "error": Page("error.html", {"status_code": 500, "message": ""}, viewer=None),
    "error-400": Page("error.html", {"status_code": 400, "message": "'_xsrf' argument missing"}),
    "404": Page("404.html", {"status_code": 404, "message": "No such user: nobody"}),
    "logout": Page("logout.html", {"end_session_url": "https://uni.example/end"}, viewer=None),
    "problem": Page("problem.html", {"more": ()}, problem=NotAMember(space="dl-201")),
    "problem-full": Page(
        "problem.html",
        {"more": (), "instead": INSTEAD},
        problem=SizeFull(
            size="gpu-slice",
            units=8,
            instead="take cpu-medium now, or try again later",
            space="dl-201",
            purpose="work",
            cpu_sizes=("cpu-medium",),
        ),
    ),
    "problem-login": Page(
        "problem.html",
        {"more": ("The audience is another one.",)},
        viewer=None,
        problem=TokenRefused(institution="Demo University", reason="audience"),
    ),
}


@cache
def environment(*, asynchronous: bool = False) -> Environment:
    """Jinja as the hub sets it up, but strict about names that nobody gave."""
    return Environment(
        loader=FileSystemLoader([HUB_TEMPLATES, TEMPLATES]),
        extensions=[i18n.PageWords],
        autoescape=True,
        undefined=StrictUndefined,
        enable_async=asynchronous,
    )


def names_for(page: Page, language: str) -> dict[str, Any]:
    """Everything that the hub would give the template of `page`."""
    words = i18n.translations(language)
    names = {
        "gettext": words.gettext,
        "ngettext": words.ngettext,
        "lang": language,
        "languages": i18n.LANGUAGES,
        "lab": LAB,
        "viewer": page.viewer,
        "nav_active": "",
        "page_path": "/hub/home",
        "base_url": "/hub/",
        "hub_prefix": "/hub/",
        "hub_home_url": "/hub/home",
        "service_url": "/services/lab/",
        "lab_static": "/hub/lab-static/",
        "xsrf": "2|abc",
    }
    if page.problem is not None:
        names |= {"problem": page.problem, "message": page.problem.text(words.gettext)}
    return names | dict(page.names)


def render(page: Page, language: str) -> str:
    """The page as HTML."""
    return environment().get_template(page.template).render(names_for(page, language))
