"""What My spaces says in words of its own, and what a card tells of the servers that a person had there."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from kirzl_lab.federation.claims import Why
from kirzl_lab.hub.spaces import MySpaces, not_counted
from kirzl_lab.look import i18n
from kirzl_lab.problems import Phrase
from kirzl_lab.spawning import endings, last_words
from kirzl_lab.spawning.choice import Binding
from tests.look import samples


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ([], "not sent by the institution"),
        ([Why.NOT_VERIFIED], "sent, but not confirmed by the institution: it does not count"),
        ([Why.OTHER_DOMAIN], "sent, but of a domain that is not the institution's: it does not count"),
        ([Why.TOO_LONG, Why.OTHER_DOMAIN], "sent, but of a domain that is not the institution's: it does not count"),
        ([Why.INVISIBLE], "sent, but not in a form that counts"),
        (["a-reason-of-a-later-version"], "sent, but not in a form that counts"),
    ],
)
def test_why_nothing_was_looked_for(reasons: list[str], words: str) -> None:
    assert not_counted([str(reason) for reason in reasons], lambda message: message) == words
    german = not_counted([str(reason) for reason in reasons], i18n.translations("de").gettext)
    assert german not in ("", words)


def test_each_purpose_tells_its_own_last_end() -> None:
    states = {"mine": last_words.remember(Phrase(endings.NO_IMAGE)), "ml-101-view": None, "x": {"last_end": "x"}}
    user = SimpleNamespace(orm_spawners={name: SimpleNamespace(state=state) for name, state in states.items()})
    page: Any = SimpleNamespace(current_user=user)
    facts: Any = SimpleNamespace(space=SimpleNamespace(name="ml-101"), bindings=[Binding("mine", "ml-101", "preview")])
    german = i18n.translations("de").gettext
    assert MySpaces._last_end(page, facts, "preview", german) == german(endings.NO_IMAGE)
    assert MySpaces._last_end(page, facts, "work", german) is None


def test_a_card_tells_how_the_last_server_and_the_last_preview_ended() -> None:
    card = samples.space(
        *samples.ML, **samples.STAFF, last_end="It ended by itself.", preview_last_end="It did not start."
    )
    html = samples.render(samples.Page("home.html", samples.HOME | {"spaces": [card]}), "de")
    notes = re.findall(r'<p class="k-note is-warn">(.*?)</p>', html)
    assert notes == ["It ended by itself.", "Vorschau als Studierende: It did not start."]


def test_the_card_of_somebody_who_runs_the_space_no_more_says_until_when_its_server_goes_on() -> None:
    server = samples.server()
    card = samples.space(*samples.ML, server=server)
    demoted = samples.farewell(*samples.ML[1:], reason="demoted", server=server)

    def shown(**more: Any) -> str:
        names = samples.HOME | {"spaces": [card], "farewells": [demoted]} | more
        return " ".join(samples.render(samples.Page("home.html", names), "en").split())

    page = shown()
    assert page.count('<li class="k-card') == 1, "the space has its card already"
    assert "Your role in “Machine Learning 101” has changed. Your server still has the course's own files" in page
    assert "no longer a member" not in page
    assert "data-watch" not in page
    ending = shown(farewells=[samples.farewell(*samples.ML[1:], reason="demoted", server=server, ending=True)])
    assert "has changed. Your server ends now. Your files are kept." in ending
    assert "data-watch" in ending
    over = [samples.farewell(*samples.ML[1:], reason="demoted", ended_at=samples.BEGAN)]
    assert "has changed. Your server there was ended: <time" in shown(
        spaces=[samples.space(*samples.ML)], farewells=over
    )
