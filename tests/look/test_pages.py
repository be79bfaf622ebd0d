"""Every page of the hub: it renders in both languages, escapes what it is given, and keeps its promises as HTML."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace as Names
from typing import Any

import pytest
from jinja2 import Undefined
from jupyterhub._data import DATA_FILES_PATH

from kirzl_lab.look import STATIC, TEMPLATES, i18n
from kirzl_lab.problems import Problem
from kirzl_lab.spawning import cluster_start, endings, laptop
from tests.look import samples
from tests.look.samples import HUB_TEMPLATES, PAGES, Page, environment, names_for, render

EVIL = "<script>alert('x')</script>\"'&"
ALL = pytest.mark.parametrize("name", PAGES)
BOTH = pytest.mark.parametrize("language", i18n.LANGUAGES)


class Elements(HTMLParser):
    """The elements of a page: (name, attributes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def called(self, *tags: str) -> list[dict[str, str | None]]:
        """The attributes of the elements with one of these names."""
        return [attributes for tag, attributes in self.found if tag in tags]


@ALL
@BOTH
async def test_a_page_renders_as_the_hub_renders_it(name: str, language: str) -> None:
    """The hub renders asynchronously, and errors synchronously; no name is missing in either."""
    page = PAGES[name]
    template = environment(asynchronous=True).get_template(page.template)
    html = await template.render_async(names_for(page, language))
    assert html == render(page, language)
    assert f'<html lang="{language}">' in html
    assert len(Elements(html).called("h1")) == (2 if name == "spawn-pending" else 1)


def test_every_page_of_jupyterhub_is_ours_and_has_a_sample() -> None:
    theirs = {file.name for file in (Path(DATA_FILES_PATH) / "templates").glob("*.html")}
    ours = {file.name for file in HUB_TEMPLATES.glob("*.html")}
    pages = {name for name in ours if not name.startswith("_")}
    assert theirs - ours == {"admin.html", "spawn.html"}  # nothing renders them: their handlers are replaced
    assert {page.template for page in PAGES.values()} == pages - {"page.html"}


@ALL
def test_nothing_in_a_page_needs_a_looser_content_policy(name: str) -> None:
    elements = Elements(render(PAGES[name], "de"))
    scripts = elements.called("script")
    assert all(script.get("src") or script.get("type") == "application/json" for script in scripts)
    assert elements.called("style") == []
    for tag, attributes in elements.found:
        assert not [key for key in attributes if key == "style" or key.startswith("on")], tag


@ALL
def test_a_page_loads_nothing_from_elsewhere(name: str) -> None:
    elements = Elements(render(PAGES[name], "en"))
    loaded = [item.get("src") or item.get("href") for item in elements.called("script", "link", "img", "iframe")]
    assert [address for address in loaded if address and not address.startswith("/hub/")] == []


@ALL
def test_forms_that_change_something_carry_the_token(name: str) -> None:
    html = render(PAGES[name], "en")
    for form in re.findall(r'<form[^>]*method="post".*?</form>', html, re.DOTALL):
        assert '<input type="hidden" name="_xsrf" value="2|abc">' in form


def test_static_files_that_pages_ask_for_are_there() -> None:
    for attributes in Elements(render(PAGES["home"], "en")).called("script", "link"):
        address = attributes.get("src") or attributes.get("href") or ""
        folder = STATIC if "lab-static" in address else Path(DATA_FILES_PATH) / "static"
        assert (folder / address.split("static/", 1)[1]).is_file(), address


def hostile(value: Any) -> Any:
    """The same names with markup in every text that a site or a person wrote."""
    if isinstance(value, Names):
        kept = ("state", "kind", "purpose")
        return Names(**{key: item if key in kept else hostile(item) for key, item in vars(value).items()})
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(hostile(item) for item in value)
    if isinstance(value, samples.Text):
        return samples.Text(de=EVIL, en=EVIL)
    return EVIL if isinstance(value, str) and value else value


class Evil(Problem):
    slug, status, sentence = "evil", 403, "No %(what)s."


@ALL
def test_nothing_that_a_page_is_given_becomes_markup(name: str) -> None:
    page = PAGES[name]
    problem = Evil(what=EVIL) if page.problem else None
    viewer = samples.Viewer(EVIL, EVIL, operator=True)
    evil = Page(page.template, hostile(dict(page.names)), viewer=viewer, problem=problem)
    names = names_for(evil, "de") | {"xsrf": EVIL, "page_path": f"/hub/{EVIL}"}
    html = environment().get_template(page.template).render(names)
    assert "<script>alert" not in html
    benign = Elements(render(Page(page.template, page.names, viewer=samples.OPERATOR, problem=page.problem), "de"))
    # Every element is one that the page has anyway, with the attributes that it has anyway.
    shapes = {(tag, *sorted(attributes)) for tag, attributes in benign.found}
    assert {(tag, *sorted(attributes)) for tag, attributes in Elements(html).found} - shapes <= EXTRA


EXTRA = {("a", "href"), ("a", "aria-current", "href")}


@pytest.mark.parametrize("name", ["error", "error-400", "404", "not-running", "problem", "problem-login"])
def test_an_error_is_told_even_where_our_names_are_missing(name: str) -> None:
    """An error can come before a handler knows who looks, or from one without our mixin."""
    page = PAGES[name]
    bare = environment().overlay(undefined=Undefined)
    names = {"base_url": "/hub/"} | dict(page.names)
    if page.problem:
        names |= {"problem": page.problem, "message": page.problem.text()}
    html = bare.get_template(page.template).render(names)
    assert '<html lang="en">' in html
    assert "/hub/lab-static/kirzl.css" in html
    assert 'href="/hub/home"' in html or 'href="/hub/login"' in html


def test_steps_of_a_start_are_told_in_german() -> None:
    html = render(PAGES["spawn-pending"], "de")
    words = json.loads(re.findall(r'id="progress-words">(.*?)</script>', html, re.DOTALL)[0])
    steps = [*laptop.Step, *cluster_start.Step]
    # Every ending but those that a start cannot have, or that are found out after it.
    ends = [value for name, value in vars(endings).items() if name.isupper()]
    not_at_start = {endings.ENDED_ITSELF, endings.LOST_START, endings.NO_ROUTE}
    told = [*(step.value for step in steps), *(words for words in ends if words not in not_at_start)]
    assert set(told) <= set(words)
    assert [message for message, text in words.items() if message == text] == []


def test_the_last_choice_comes_first_and_is_marked() -> None:
    html = render(PAGES["login"], "de")
    links = re.findall(r'href="/hub/login/(\w+)\?next=/hub/home"(.*?)</a>', html, re.DOTALL)
    assert [name for name, _rest in links] == ["uas", "uni", "startups"]
    assert ["Zuletzt gewählt" in rest for _name, rest in links] == [True, False, False]


def test_sizes_that_cannot_be_had_are_shown_with_the_reason() -> None:
    html = render(PAGES["home"], "en")
    option = next(part for part in html.split("<label") if 'value="gpu-slice"' in part)
    assert "disabled" in option
    assert "this machine has no GPU" in option
    assert "8 cores, 32 GiB memory, a slice of a GPU with 10 GiB" in " ".join(option.split())


def test_jupyterhubs_reason_for_a_404_is_not_shown() -> None:
    assert "No such user" not in render(PAGES["404"], "de")
    assert "argument missing" in render(PAGES["error-400"], "de")


@BOTH
def test_beside_a_preview_the_own_server_has_a_heading(language: str) -> None:
    heading = {"de": "<h3>Ihr eigener Server</h3>", "en": "<h3>Your own server</h3>"}[language]
    assert heading in render(PAGES["home-preview"], language)
    assert heading not in render(PAGES["home"], language)


def test_only_staff_are_offered_the_preview_and_it_is_its_own_button() -> None:
    assert 'value="preview"' not in render(PAGES["home"], "en")
    assert 'name="purpose" value="preview"' in render(PAGES["home-staff"], "en")


def test_operators_see_the_operators_pages_and_nobody_else_does() -> None:
    assert "/services/lab/audit" in render(PAGES["home-staff"], "en")
    assert "/services/lab/audit" not in render(PAGES["home"], "en")
    assert "/services/lab/audit" not in render(PAGES["login"], "en")


def test_the_language_switch_keeps_the_page() -> None:
    html = environment().get_template("logout.html").render(names_for(PAGES["logout"], "de") | {"page_path": "/a b?c"})
    assert 'href="/hub/language/en?next=/a%20b%3Fc"' in html


@pytest.mark.parametrize("folder", [HUB_TEMPLATES, TEMPLATES], ids=["hub", "look"])
def test_no_template_marks_anything_safe(folder: Path) -> None:
    for file in folder.glob("*.html"):
        assert "|safe" not in file.read_text().replace(" ", ""), file.name
