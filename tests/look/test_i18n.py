"""Which language a page gets, and how sentences, moments and numbers look in it."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup

from kirzl_lab.catalog.models import Text
from kirzl_lab.look import i18n
from kirzl_lab.problems import BadOptions, NotAMember, Phrase


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "de", "de"),
        (None, "de-AT,en;q=0.5", "de"),
        (None, "en-GB,de;q=0.9", "en"),
        (None, "fr,de;q=0.4,en;q=0.3", "de"),
        (None, "fr, DE-de ; Q=0.4", "de"),
        (None, "fr,it", "en"),
        (None, "de;q=0", "en"),
        (None, "de;q=nonsense", "en"),
        (None, "*", "en"),
        ("de", "en", "de"),
        ("en", "de", "en"),
        ("xx", "de", "de"),
        ("../../etc", None, "en"),
    ],
)
def test_language_of_a_page(cookie: str | None, accepted: str | None, language: str) -> None:
    assert i18n.pick(cookie, accepted) == language


@given(st.none() | st.text(), st.none() | st.text())
def test_whatever_a_browser_sends_a_page_has_a_language(cookie: str | None, accepted: str | None) -> None:
    assert i18n.pick(cookie, accepted) in i18n.LANGUAGES


def test_a_problem_speaks_german_with_its_phrases() -> None:
    gettext = i18n.translations("de").gettext
    assert BadOptions(found=Phrase("they are missing")).text(gettext) == (
        "Die Optionen eines Servers sind genau space, purpose und size: sie fehlen."
    )
    assert type(NotAMember(space="<b>").text(gettext)) is str  # templates escape it


def test_english_is_what_the_message_ids_say() -> None:
    words = i18n.translations("en")
    assert words.gettext("My spaces") == "My spaces"
    assert words.ngettext("%(num)s permission", "%(num)s permissions", 2) == "2 permissions"


def test_plurals_and_fields_in_german() -> None:
    words = i18n.translations("de")
    assert words.ngettext("%(num)s permission", "%(num)s permissions", 1) == "1 Berechtigung"
    assert words.gettext("since %(time)s", time="8:05") == "seit 8:05"


def test_fields_are_escaped_and_markup_is_not() -> None:
    words = i18n.translations("de")
    assert words.gettext("since %(time)s", time="<b>") == "seit &lt;b&gt;"
    assert words.gettext("since %(time)s", time=Markup("<b>8</b>")) == "seit <b>8</b>"


def test_the_catalogue_is_compiled_once() -> None:
    assert i18n.translations("de") is i18n.translations("de")


def shown(template: str, language: str = "en", **names: Any) -> str:
    environment = Environment(extensions=[i18n.PageWords], autoescape=True)
    words = i18n.translations(language)
    return environment.from_string(template).render(
        gettext=words.gettext, ngettext=words.ngettext, lang=language, **names
    )


def test_templates_speak_the_language_of_their_page() -> None:
    assert shown("{{ _('My spaces') }}", "de") == "Meine Bereiche"
    assert shown("{% trans time=moment %}since {{ time }}{% endtrans %}", "de", moment="<8>") == "seit &lt;8&gt;"


def test_a_page_without_words_speaks_english() -> None:
    environment = Environment(autoescape=True, extensions=[i18n.PageWords])
    template = "{{ _('since %(time)s', time='<8>') }} {{ 1.5|number }}"
    assert environment.from_string(template).render() == "since &lt;8&gt; 1.5"


def test_texts_of_a_site_in_the_language_of_the_page() -> None:
    text = Text(de="Größe", en="Size")
    assert shown("{{ text|local }}", "de", text=text) == "Größe"
    assert shown("{{ text|local }}", "en", text=text) == "Size"
    assert shown("{{ text|local }}", "de", text="<as it is>") == "&lt;as it is&gt;"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 24, 8, 5, tzinfo=UTC),
        datetime(2026, 11, 24, 9, 5, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 11, 24, 8, 5),
    ],
)
def test_moments_say_their_zone_and_carry_it(moment: datetime) -> None:
    html = '<time datetime="2026-11-24T08:05:00+00:00">24.11.26, 08:05 UTC</time>'
    assert shown("{{ moment|moment }}", "de", moment=moment) == html


def test_days_and_numbers() -> None:
    assert shown("{{ day|day }}", "de", day=date(2026, 11, 3)) == "03.11.2026"
    assert shown("{{ 0.5|number }} {{ 1200|number }} {{ 2.0|number }}", "de") == "0,5 1.200 2"
    assert shown("{{ 0.5|number }} {{ 1200|number }} {{ 2.0|number }}", "en") == "0.5 1,200 2"
