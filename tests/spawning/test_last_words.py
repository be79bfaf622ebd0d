"""What a server leaves behind, as a sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.spawning import activity, idle, last_words
from kirzl_lab.spawning.last_words import left_in, remember, remembered, why


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("idle 2", "Your server had nothing to do for 2 hours and was ended. Your files are kept."),
        ("idle 168\n", "Your server had nothing to do for 168 hours and was ended. Your files are kept."),
        ("idle 1", "Your server had nothing to do for 60 minutes and was ended. Your files are kept."),
        ("idle 2.5", "Your server had nothing to do for 150 minutes and was ended. Your files are kept."),
        ("idle 0.0001", "Your server had nothing to do for 1 minutes and was ended. Your files are kept."),
    ],
)
def test_an_idle_server_says_after_how_long(written: str, sentence: str) -> None:
    phrase = why(written)
    assert phrase is not None
    assert phrase.text() == sentence


@given(st.floats(min_value=0.001, max_value=168))
def test_what_a_server_writes_is_understood(hours: float) -> None:
    assert why(activity.last_words(hours * 3600)) is not None


@given(st.text() | st.floats().map(lambda number: f"idle {number}"))
def test_anything_else_is_no_failure(written: str) -> None:
    phrase = why(written)
    assert phrase is None or phrase.text()


@pytest.mark.parametrize("written", ["", "idle", "idle soon", "OOMKilled 2", "idle nan", "idle inf"])
def test_what_is_not_ours_is_no_sentence(written: str) -> None:
    assert why(written) is None


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert left_in(tmp_path / "missing") is None
    (tmp_path / "ended").write_bytes(b"idle 2\n" + b"\xff" * 10_000)
    assert left_in(tmp_path / "ended") is None
    (tmp_path / "ended").write_text("idle 2")
    assert left_in(tmp_path / "ended") == why("idle 2")


@pytest.mark.parametrize("written", ["", "idle 2"])
def test_it_is_remembered(written: str) -> None:
    assert remembered(remember(why(written))) == why(written)


def test_what_an_older_lab_remembered_is_told() -> None:
    phrase = remembered({"last_end": "Your server ended by itself."})
    assert phrase is not None
    assert phrase.text() == "Your server ended by itself."
    assert remembered(None) is None


def test_server_and_spawner_mean_the_same_variable() -> None:
    assert idle.LAST_WORDS == last_words.VARIABLE
