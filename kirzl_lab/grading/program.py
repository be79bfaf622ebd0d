"""What the processes of the trusted steps have in common; the other end is `steps.py`.

A request is one line of JSON on standard input. On standard output: `{"locked": true}` once this process alone may
write the grades of the submission, then, when the answer on standard input is `go`, one line of JSON with what came
out. Everything else goes to the log, standard error.
"""

import json
import logging
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, Final

from kirzl_lab.grading.locks import grading_lock
from kirzl_lab.grading.outcomes import MIB
from kirzl_lab.grading.records import ToGrade
from kirzl_lab.problems import Phrase, Problem

GO: Final = "go"

MEMORY: Final = 768 * MIB
"""In bytes. What is read here was written by strangers; what the controller may use has room for two of these."""


def main(work: Callable[[dict[str, Any], ToGrade], dict[str, Any]]) -> None:
    """Do what standard input asks for, with `work`. A crash leaves no line, and a stack trace in the log."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what nbgrader or a plugin prints is no answer
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s: %(message)s")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def tell(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    request = json.loads(sys.stdin.readline())
    of = ToGrade.from_json(request["of"])
    try:
        with grading_lock(of):
            tell({"locked": True})
            if sys.stdin.readline().strip() == GO:
                tell({"done": work(request, of)})
    except Problem as problem:
        logging.getLogger(__name__).error("%s", problem, exc_info=problem.__cause__)
        tell({"problem": type(problem).__name__, "fields": problem.fields | _plain(problem.fields.get("found"))})


def _plain(found: Any) -> dict[str, Any]:
    return {"found": {"message": found.message, "fields": dict(found.fields)}} if isinstance(found, Phrase) else {}
