"""The lab's own secrets: made once, kept in files that only their owner can read."""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from kirzl_lab.cli.state import write_atomically

WHOLE = re.compile(r"[0-9a-f]{64}")
"""32 random bytes: what JupyterHub asks of its cookie secret and of the key that encrypts auth state."""


RECEIPT_KEYS = "receipt_keys"
"""The file with the secrets that receipts are signed with, one a line, the newest first."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets as 64 hexadecimal digits each."""

    crypt_key: str
    """Encrypts what JupyterHub keeps of a login."""
    proxy_token: str
    service_token: str
    metrics_token: str
    """With it Prometheus reads metrics."""
    receipt_keys: str
    """Sign the receipts for submissions. May be several with space between: the first signs, the others still verify."""
    cookie_secret_file: Path
    """JupyterHub reads this one itself."""


def keys_in(folder: Path) -> Keys:
    """The secrets in the folder; what is missing, or is not whole, is made anew."""
    cookie_secret_file = folder / "cookie_secret"
    _key(cookie_secret_file)
    return Keys(
        crypt_key=_key(folder / "crypt_key"),
        proxy_token=_key(folder / "proxy_token"),
        service_token=_key(folder / "service_token"),
        metrics_token=_key(folder / "metrics_token"),
        receipt_keys=_keys(folder / RECEIPT_KEYS),
        cookie_secret_file=cookie_secret_file,
    )


def _key(file: Path) -> str:
    found = _read(file)
    if not WHOLE.fullmatch(found):
        found = secrets.token_hex(32)
        write_atomically(file, found)
    file.chmod(0o600)
    return found


def _keys(file: Path) -> str:
    """All of a file's secrets; what is not whole among them stays in the file and counts for nothing."""
    found = [line for line in _read(file).split() if WHOLE.fullmatch(line)]
    if not found:
        return _key(file)
    file.chmod(0o600)
    return " ".join(found)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
