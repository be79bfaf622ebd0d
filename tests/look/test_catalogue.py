"""Every sentence that people see has a German text that fits it."""

import re

from kirzl_lab.look import extract

FIELD = re.compile(r"%\((\w+)\)|\{(\w+)\}")
CATALOGUE = extract.read()
TEXTS = [(message.id, message.string) for message in CATALOGUE if message.id]
PAIRS = [
    pair for id_, text in TEXTS for pair in (zip(id_, text, strict=True) if isinstance(id_, tuple) else [(id_, text)])
]


def test_every_sentence_of_pages_and_problems_is_in_the_catalogue() -> None:
    known = {message.id for message in CATALOGUE if message.id}
    found = {message.id for message in extract.found() if message.id}
    assert found - known == set(), "run `python -m kirzl_lab.look.extract` and write the German texts"
    assert known - found == set(), "run `python -m kirzl_lab.look.extract`: these sentences are gone"


def test_every_sentence_has_a_german_text() -> None:
    assert extract.untranslated(CATALOGUE) == []


def test_nothing_is_left_fuzzy() -> None:
    assert [message.id for message in CATALOGUE if message.id and message.fuzzy] == []


def test_fields_are_the_same_in_both_languages() -> None:
    differ = [id_ for id_, text in PAIRS if set(FIELD.findall(id_)) != set(FIELD.findall(text))]
    assert differ == []
    assert [error for message in CATALOGUE for error in message.check(CATALOGUE)] == []


def test_sentences_hold_no_html_and_no_bare_percent_sign() -> None:
    for id_, text in PAIRS:
        for sentence in (id_, text):
            assert not re.search(r"[<>&]", sentence), sentence
            assert not re.search(r"%(?!\(\w+\))", sentence), sentence


def test_german_quotes_are_german() -> None:
    wrong = [text for _id, text in PAIRS if "”" in text or '"' in text or text.count("„") != text.count("“")]
    assert wrong == []


def test_the_tables_of_words_are_where_they_are_said_to_be() -> None:
    for name, tables in extract.TABLES.items():
        source = (extract.PACKAGE / name).read_text("utf-8")
        without = set(extract.python_messages(source))
        for table in tables:
            assert set(extract.python_messages(source, (table,))) - without, f"{name} has no words in {table}"


def test_messages_of_python_code() -> None:
    source = """
class Refused(Problem):
    slug, status = "refused", 403
    sentence = "Go " "away."
ROLES: dict[str, str] = {"student": "Student", "staff": "People who teach"}
OTHER = {"a": "not a message"}
def say(gettext, words):
    return gettext(words.get("key", "A default")) + self.gettext(ROLES["student"]) + Phrase("part %(a)s", {"a": "no"})
"""
    assert set(extract.python_messages(source, ("ROLES",))) == {
        "Student",
        "People who teach",
        "Go away.",
        "A default",
        "part %(a)s",
    }
