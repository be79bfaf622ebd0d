"""The documentation leads where it says, and names commands that there are."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from kirzl_lab.cli.main import app
from tests.docs.pages import PAGES, REPOSITORY, anchors, commands, links, spans

NAME = "kirzl-lab"
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        if anchor:
            assert anchor in anchors(target), link


def of_the_lab(line: str) -> list[str]:
    """The words after `kirzl-lab` in a line that begins with it; none for other lines."""
    if not re.match(rf"(?:\.venv/bin/)?{NAME} ", line):
        return []
    return shlex.split(line, comments=True)[1:]


def meant(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and those that are left for it."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@EVERY_PAGE
def test_commands_to_type_are_understood(page: Path) -> None:
    for line in commands(page):
        for part in line.split("|"):
            if words := of_the_lab(part.strip()):
                command, rest = meant(words)
                assert not hasattr(command, "commands"), line
                command.make_context(NAME, rest)  # raises where the command line is not understood


@EVERY_PAGE
def test_commands_in_sentences_are_there(page: Path) -> None:
    for span in spans(page):
        if words := of_the_lab(span):
            command, rest = meant(words)
            assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), span
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in rest if word.startswith("-")} <= options, span


@pytest.mark.parametrize("line", ["kirzl-lab backup --context c", "kirzl-lab install --context c --wait"])
def test_a_command_that_is_not_is_noticed(line: str) -> None:
    command, rest = meant(of_the_lab(line))
    with pytest.raises(Exception, match=r"Missing parameter|No such option"):
        command.make_context(NAME, rest)
