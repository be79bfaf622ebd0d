"""Wiring of FastAPI: every page but My spaces, and the REST API, behind the hub's OAuth at `/services/lab/`.

Guarantees: no route without a row in `access.ACCESS`; nothing is done for a blocked person; no answer holds a stack
trace; every change by an operator is in the audit before it is done; no call blocks the event loop or waits without
a limit.
"""
