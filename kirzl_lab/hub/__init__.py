"""Wiring of JupyterHub: `configure(c)`, the hub's pages and API in our clothes, and what its process holds.

Guarantees: every start goes through `Lab.decide`, by page and by REST API alike; the lab database is asked for at
most a second, off the event loop.
"""
