"""The import that a server does without: still there, still heavy, still not needed."""

import subprocess
import sys

MEASURE = """
import sys, time
import jupyter_events  # brings in jsonschema
print("rfc3987_syntax" in sys.modules)
"""


def test_jupyter_would_import_it() -> None:
    """When this fails, kirzl_lab/spawning/server.py has no reason any more (decision 403)."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_schemas_are_checked_without_it() -> None:
    code = """
import sys
sys.modules["rfc3987_syntax"] = None
from jsonschema import Draft7Validator, FormatChecker
from jupyter_events import EventLogger
check = Draft7Validator({"format": "uri"}, format_checker=FormatChecker())
assert check.is_valid("https://a.example/b") and not check.is_valid("no uri")
EventLogger()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
