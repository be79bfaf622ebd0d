"""What My spaces says in words of its own."""

import pytest

from kirzl_lab.federation.claims import Why
from kirzl_lab.hub.spaces import not_counted
from kirzl_lab.look import i18n


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
