"""Talking to the cluster through kubectl: the same way in for us as for everybody who works with it."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from tools.onenode import certificates as certs
from tools.onenode.build import binary
from tools.onenode.paths import KUBECONFIG


class KubectlError(Exception):
    """kubectl refused; the message is what it said."""


def kubectl(*arguments: str, given: str | None = None) -> str:
    """What kubectl prints; `given` is its standard input. Raises `KubectlError`."""
    done = subprocess.run(  # noqa: S603 - our own program
        kubectl_command(arguments), input=given, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise KubectlError(f"kubectl {' '.join(arguments[:4])}: {done.stderr.strip()}")
    return done.stdout


def kubectl_command(arguments: Sequence[str]) -> list[str]:
    """The command line of kubectl for this cluster."""
    return [os.fspath(binary("kubectl")), f"--kubeconfig={KUBECONFIG}", *arguments]


def get(*arguments: str) -> Mapping[str, Any]:
    """An object or a list, parsed; raises `KubectlError`."""
    found: Mapping[str, Any] = json.loads(kubectl("get", *arguments, "--output=json"))
    return found


def is_ready(port: int) -> bool:
    """Whether the API server answers on its loopback port and calls itself ready."""
    context = ssl.create_default_context(cafile=os.fspath(certs.AUTHORITY.certificate))
    admin = certs.Pair("client-admin")
    context.load_cert_chain(admin.certificate, admin.key)
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:  # URLError and HTTPError are such
        return False


def condition(thing: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition of an object, such as Ready, is True."""
    return any(each["type"] == kind and each["status"] == "True" for each in thing["status"].get("conditions", []))
