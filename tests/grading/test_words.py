"""Every end has words."""

from kirzl_lab.grading.outcomes import EXIT_STATUS, Reason
from kirzl_lab.grading.words import WHY


def test_every_reason_has_words_and_a_status() -> None:
    assert set(WHY) == set(EXIT_STATUS) == set(Reason)
    assert len(set(EXIT_STATUS.values())) == len(Reason)
