"""Entries of the audit in words, in both languages."""

from pathlib import Path

import pytest

from kirzl_lab import hub
from kirzl_lab.catalog.models import Kind, Role
from kirzl_lab.look import i18n
from kirzl_lab.service.words import ACTORS, KINDS, OPERATORS_ROSTER, ROLES, SENTENCES, VERBS, Teller
from kirzl_lab.store.audit import Action
from kirzl_lab.store.pages import AuditLine
from tests.service.sample import NOW


def teller(language: str) -> Teller:
    titles = {"uni": "Example University"}
    return Teller(
        i18n.translations(language), "/services/lab/", {"student1": "Student <i>Ü</i>", "operator": "Operator"}, titles
    )


def line(action: str, **fields: object) -> AuditLine:
    known = {"id": 1, "at": NOW, "actor": "operator", "person": "student1", "space": "ml-101", "institution": "uni"}
    return AuditLine(**(known | {"action": action, "detail": {}, "note": ""} | fields))  # type: ignore[arg-type]


def test_everything_has_words() -> None:
    assert VERBS.keys() == SENTENCES.keys() == set(Action)
    assert {action for action in Action if action.name.startswith("ROSTER_")} < OPERATORS_ROSTER.keys()
    assert ROLES.keys() == set(Role)
    assert KINDS.keys() == set(Kind)


def test_kinds_have_the_words_of_my_spaces() -> None:
    home = (Path(hub.__file__).parent / "templates" / "home.html").read_text()
    for kind, word in KINDS.items():
        assert f'"{kind}": _("{word}")' in home


def test_who_is_no_person_has_a_word() -> None:
    assert [teller("de").say(line(Action.SERVER_STOPPED, actor=actor)).actor for actor in ACTORS] == [
        "Katalog",
        "Hub",
        "Lab",
        "Anmeldung",
    ]


@pytest.mark.parametrize("language", i18n.LANGUAGES)
@pytest.mark.parametrize("action", Action)
def test_every_verb_is_a_sentence(action: Action, language: str) -> None:
    for fields in ({}, {"person": None, "space": None, "institution": None}):
        said = teller(language).say(line(action, **fields))
        assert "%(" not in said.sentence
        assert said.sentence.endswith(".")
        assert "<i>" not in said.sentence


def test_german_is_german() -> None:
    for action in Action:
        both = {teller(language).say(line(action)).sentence for language in i18n.LANGUAGES}
        assert len(both) == 2, action


def test_what_happened_leads_on() -> None:
    said = teller("en").say(line(Action.SERVER_STARTED))
    assert said.sentence == (
        'A server of <a href="/services/lab/people/student1">Student &lt;i&gt;Ü&lt;/i&gt;</a> was started in '
        '<a class="k-mono" href="/services/lab/spaces?search=ml-101">ml-101</a>.'
    )
    assert said.actor == '<a href="/services/lab/people/operator">Operator</a>'


def test_a_space_that_does_not_exist_is_told_as_it_was_asked_for() -> None:
    said = teller("en").say(
        line(Action.START_REFUSED, space=None, detail={"space": "<b>x", "problem": "unknown-space"})
    )
    assert "refused a server in &lt;b&gt;x." in said.sentence
    assert said.details == (("problem", "unknown-space"),)


def test_who_is_no_person() -> None:
    assert teller("de").say(line(Action.SPACE_CHANGED, actor="catalogue")).actor == "Katalog"
    assert teller("en").say(line(Action.LOGIN_REFUSED, actor="<login>")).actor == "&lt;login&gt;"


def test_a_verb_of_a_newer_lab_is_told_by_its_note() -> None:
    said = teller("de").say(line("unit-lent", note="A unit <1> was lent."))
    assert said.sentence == "A unit &lt;1&gt; was lent."


def test_details_tell_what_was_before() -> None:
    detail = {"role": ["student", "assistant"], "section": ["", "Tuesday"], "identities_moved": 3, "odd": {"a": [1]}}
    said = teller("en").say(line(Action.ROSTER_CHANGED, detail=detail))
    assert said.details == (
        ("role", "student → assistant"),
        ("section", "– → Tuesday"),
        ("identities moved", "3"),
        ("odd", '{"a": [1]}'),
    )
