"""Sentences of problems: names and days in the reader's language."""

from datetime import date

from kirzl_lab.catalog.models import Text
from kirzl_lab.look import i18n
from kirzl_lab.problems import NotAMember, SpaceNotOpen

TITLE = Text(de="Tiefe Netze", en="Deep Networks")


def test_a_space_that_is_not_open_is_told_in_the_readers_language() -> None:
    problem = SpaceNotOpen(space=TITLE, starts=date(2026, 10, 12), ends="…")
    assert problem.text().startswith("“Deep Networks” is open from October 12, 2026 to …:")
    german = problem.text(i18n.translations("de").gettext, "de")
    assert "„Tiefe Netze“" in german
    assert "12. Oktober 2026" in german
    assert "Deep" not in german


def test_the_labs_title_too() -> None:
    assert "„Tiefe Netze“" in NotAMember(space=TITLE).text(i18n.translations("de").gettext, "de")
    assert "“ml-101”" in NotAMember(space="ml-101").text()
