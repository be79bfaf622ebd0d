"""How the lab looks and speaks: one stylesheet, one script, one navigation bar and two languages for hub and service.

Guarantees: pages work without JavaScript (but for the progress of a start), nothing is loaded from another host, and
no page holds a script, a style or an event handler of its own, so that `CONTENT_SECURITY` can forbid them.
"""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""Stylesheet, script, logo and icon; served under `lab_static` by the hub."""

TEMPLATES = Path(__file__).parent / "templates"
"""Base page, navigation bar and the pieces that hub and service share."""

CONTENT_SECURITY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy for every page in these clothes. `data:` is for the drawings in Bootstrap's stylesheet."""
