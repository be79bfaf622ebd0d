"""Addresses that may be trusted with something: where we send a code, and where we send a browser.

Pure functions.
"""

import ipaddress
import re
from urllib.parse import unquote, urlsplit

LONGEST_NEXT = 4000
"""Of a `next`, in characters. An OAuth consent address with its state fits."""

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine by name: 127.0.0.0/8, ::1, `localhost` or `*.localhost` (RFC 6761, section 6.3)."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_be_asked(url: object) -> bool:
    """Whether `url` is an address that secrets may go to: https, or http on loopback; no user name, no fragment."""
    if not isinstance(url, str) or not _PRINTABLE.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.fragment or "@" in parts.netloc or "\\" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def local_path(url: str | None, base: str = "/") -> str | None:
    r"""`url` when it is a path (with query) of this hub, below `base`; otherwise None.

    Browsers read `\` as `/`, drop tabs and line feeds, and take what follows `//` for a host; a server behind the
    hub may decode a path once more. So there is no backslash, no space and no control character in what comes
    back, and its path holds no `//`, encoded or not.
    """
    if not url or len(url) > LONGEST_NEXT or not _PRINTABLE.fullmatch(url) or "\\" in url:
        return None
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    if not path.startswith(base):
        return None
    decoded = path
    while True:
        if not decoded.startswith("/") or re.search(r"//|\\|[\x00-\x1f\x7f]", decoded):
            return None
        if any(part in {".", ".."} for part in decoded.split("/")):
            return None
        decoded, before = unquote(decoded), decoded
        if decoded == before:
            return url
