"""Stands in for a part of the lab: answers on a port, and misbehaves when asked to."""

import http.server
import signal
import subprocess
import sys


def main() -> None:
    port, *habits = sys.argv[1:]
    if "stubborn" in habits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "with-grandchild" in habits:
        # As a terminal does: a shell in a session of its own that starts something in another one and goes.
        subprocess.Popen(["sh", "-c", "setsid sleep 1234 & exec sleep 4321"], start_new_session=True)
    print("one of the last lines", flush=True)
    http.server.HTTPServer(("127.0.0.1", int(port)), http.server.SimpleHTTPRequestHandler).serve_forever()


main()
