"""Why a submission could not be run to its end, in the words of pages."""

from collections.abc import Mapping
from typing import Final

from kirzl_lab.grading.outcomes import Reason
from kirzl_lab.problems import Phrase

WHY: Final[Mapping[Reason, Phrase]] = {
    Reason.TIME: Phrase("It took longer than a submission may: look for a loop without an end."),
    Reason.MEMORY: Phrase("It used more memory than a submission may, or printed without an end."),
    Reason.KILLED: Phrase("Its Python ended in the middle: look for calls that end it."),
    Reason.OUTPUT: Phrase("It printed or wrote more than a submission may."),
    Reason.FAILED: Phrase("It could not be run: its log says why."),
}
