"""What the lab's processes write into their logs: lines of JSON in a cluster, lines for people on a laptop.

Guarantees, in both forms: no secret of an address or a header, no token, no e-mail address; in a cluster one JSON
object a line with `time`, `level`, `logger`, `where`, `message`, and where they are known `request_id`, `hub_name` and
`trace`. A request's id is the `X-Request-Id` that it came with when that is well-formed, or else a new one; it is
passed on from process to process and sent back.

Names cannot be told from other words: nothing that logs may be given one. The hub name is how a log speaks of a person.
"""

import json
import logging
import logging.config
import os
import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

HEADER = "X-Request-Id"
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{7,63}")
"""What is taken over from outside: a UUID, or what proxies make."""

HIDDEN = "[secret]"
SECRET_WORDS = (
    *("token", "key", "code", "state", "nonce", "xsrf", "challenge", "verifier", "hint", "secret", "password"),
    *("mail", "search", "session"),
)
"""A parameter of an address whose name holds one of these is hidden."""

# Every pattern is linear in what it reads: names are bounded, and a run of characters is entered at its beginning only.
# A request line may be 64 KiB long, and the hub formats it on its event loop.
_PARAMETER = re.compile(r"([?&#])([\w.~-]{1,60})=([^&#\s\"'<>\\]+)")
_NESTED = re.compile(
    r"(%(?:25)*(?:3F|26|23))([\w.~-]{1,60})(%(?:25)*3D)((?:(?!%(?:25)*26)[^&#\s\"'<>\\])+)", re.IGNORECASE
)
_HEADERS = re.compile(r"(\"(?:x-xsrftoken|set-cookie|cookie|(?:proxy-)?authorization)\": *\")[^\"]*", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|token|basic) +(?!\[secret\])[\w.~+/=-]{16,}", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}(?:@|%(?:25)*40)[\w.-]{1,250}\.[A-Za-z]{2,24}")
_ADDRESS_PASSWORD = re.compile(r"(://)[^\s/@:]{0,100}:[^\s/@]{1,200}@")
_XSRF = re.compile(r"(xsrf cookie for ).*")
"""What JupyterHub says at each new one: the id of the browser's session is in it."""
_DETAIL = re.compile(r"(DETAIL: +).*")
"""What PostgreSQL adds to an error: the values of the row."""

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_hub_name: ContextVar[str] = ContextVar("hub_name", default="")


def begin(given: str | None) -> str:
    """A request begins: its id, for it and for everything that it starts. `given` is what came as `X-Request-Id`."""
    fits = given is not None and REQUEST_ID.fullmatch(given)
    found = given if given is not None and fits else secrets.token_hex(16)
    _request_id.set(found)
    _hub_name.set("")
    return found


def request_id() -> str:
    """The id of the request that is being answered, or an empty text."""
    return _request_id.get()


def about(hub_name: str) -> None:
    """What is logged from here on, for this request, is about that person."""
    _hub_name.set(hub_name)


def clean(text: str) -> str:
    """`text` without secrets and e-mail addresses."""
    text = _PARAMETER.sub(_hide_parameter, text)
    if "%" in text:
        text = _NESTED.sub(_hide_nested, text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", _HEADERS.sub(rf"\1{HIDDEN}", text))
    if "eyJ" in text:
        text = _JWT.sub(HIDDEN, text)
    if "@" in text or "40" in text:
        text = _EMAIL.sub("[e-mail]", _ADDRESS_PASSWORD.sub(rf"\1{HIDDEN}@", text))
    if "xsrf" in text:
        text = _XSRF.sub(rf"\1{HIDDEN}", text)
    return _DETAIL.sub(rf"\1{HIDDEN}", text) if "DETAIL" in text else text


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in SECRET_WORDS)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}={HIDDEN}" if _is_secret(found[2]) else found[0]


def _hide_nested(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{found[3]}{HIDDEN}" if _is_secret(found[2]) else found[0]


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, in ASCII: what a request sends cannot begin a line of its own."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "where": f"{record.module}:{record.lineno}",
            "message": clean(record.getMessage()),
        }
        if request_id():
            line["request_id"] = request_id()
        if hub_name := _hub_name.get():
            line["hub_name"] = hub_name
        if record.exc_info and record.exc_info[0] is not None:
            line["trace"] = clean(self.formatException(record.exc_info))
        return json.dumps(line)


class CleanRecord(logging.LogRecord):
    """A record whose message is clean, whoever formats it."""

    def getMessage(self) -> str:  # noqa: N802 - its name in the standard library
        """The message without secrets."""
        return clean(super().getMessage())


class PlainFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The usual line, cleaned."""
        return clean(super().format(record))


PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def as_json(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is to write JSON: in a cluster."""
    return bool(environment.get("KIRZL_LAB_CLUSTER"))


def clean_records() -> None:
    """Clean every message of this process, where others decide how it is written: for people's servers."""
    logging.setLogRecordFactory(CleanRecord)


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Have every logger of this process write one form to standard error. For processes that are not JupyterHub."""
    json_wanted = as_json(environment)
    formatter = {"()": JsonFormatter} if json_wanted else {"()": PlainFormatter, "format": PLAIN}
    logging.captureWarnings(json_wanted)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lab": formatter},
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lab"}},
            "root": {"level": "INFO" if json_wanted else "WARNING", "handlers": ["console"]},
            "loggers": {
                # uvicorn has made handlers of its own by now
                "uvicorn": {"level": "INFO", "handlers": [], "propagate": True},
                "uvicorn.access": {"handlers": [], "propagate": False},  # the lab service has lines of its own
                "httpx": {"level": "WARNING"},  # a line for each question to the hub
            },
        }
    )
