"""German and English: which one a request gets, and what sentences, dates and numbers look like in it.

Message ids are the English sentences. The German ones are in `locale/de/LC_MESSAGES/messages.po`, compiled in memory
once a process; a sentence without a German text stays English.
"""

from datetime import UTC, date, datetime, tzinfo
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations
from jinja2 import Environment, pass_context
from jinja2.ext import InternationalizationExtension
from jinja2.runtime import Context
from markupsafe import Markup

from kirzl_lab.problems import InLanguages

LANGUAGES = ("de", "en")
COOKIE = "kirzl-lab-language"
CATALOGUES = Path(__file__).parent / "locale"
FALLBACK = "en"


class Words(Translations):
    """Sentences in one language. With fields, a sentence is HTML and what is filled in is escaped."""

    def gettext(self, message: str, /, **fields: object) -> str:  # type: ignore[override]  # fields have any name
        """The sentence for an English message id."""
        return _filled(super().gettext(message), fields)

    def ngettext(  # type: ignore[override]  # the same
        self, singular: str, plural: str, number: int, /, **fields: object
    ) -> str:
        """The sentence for that many; `%(num)s` is filled in."""
        return _filled(super().ngettext(singular, plural, number), {"num": number} | fields)


def pick(cookie: str | None, accept_language: str | None) -> str:
    """The language of a page: what was switched to, else what the browser prefers (RFC 9110, 12.5.4), else English."""
    if cookie in LANGUAGES:
        return cookie
    best, quality_of_best = FALLBACK, 0.0
    for part in (accept_language or "")[:500].split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().split("-")[0]
        quality = _quality(parameter)
        if language in LANGUAGES and quality > quality_of_best:
            best, quality_of_best = language, quality
    return best


@cache
def translations(language: str) -> Words:
    """The sentences of the lab in `de` or `en`; English is what the message ids say."""
    source = CATALOGUES / language / "LC_MESSAGES" / "messages.po"
    if not source.is_file():
        return Words()
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Words(compiled)


class PageWords(InternationalizationExtension):
    """The Jinja extension of our pages: `{% trans %}`, `_()`, and filters that know the page's language.

    `gettext` and `ngettext` come with each page, from `translations`; without them a page speaks English.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
        environment.filters.update(local=_local, moment=_moment, day=_day, number=_number)


@pass_context
def _local(context: Context, value: object) -> object:
    """What a site wrote in both languages, in the page's."""
    return value.in_language(_language(context)) if isinstance(value, InLanguages) else value


@pass_context
def _moment(context: Context, value: datetime, zone: tzinfo = UTC) -> Markup:
    """A moment in that zone, which the page's script turns into the reader's own time. Naive ones are UTC, as the hub's."""
    zoned = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    text = format_datetime(zoned, "short", tzinfo=zone, locale=_language(context))
    name = zoned.astimezone(zone).tzname()
    return Markup('<time datetime="{}">{} {}</time>').format(
        zoned.astimezone(UTC).isoformat(timespec="seconds"), text, name
    )


@pass_context
def _day(context: Context, value: date) -> str:
    return format_date(value, "medium", locale=_language(context))


@pass_context
def _number(context: Context, value: float) -> str:
    """A number with at most two decimals: cores, GiB."""
    return format_decimal(value, "#,##0.##", locale=_language(context))


def _language(context: Context) -> str:
    language: Any = context.get("lang", FALLBACK)
    return language if language in LANGUAGES else FALLBACK


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _filled(sentence: str, fields: dict[str, object]) -> str:
    # Without fields it stays a plain string, as `Problem.text` wants it; templates escape it then.
    return Markup(sentence) % fields if fields else sentence  # noqa: S704 - the sentence is ours, fields are escaped
