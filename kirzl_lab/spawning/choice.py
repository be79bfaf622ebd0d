"""From what somebody asked for to a `Choice`, or a refusal. Pure: knows no JupyterHub, no Kubernetes, no database.

Guarantees: a `Choice` is made only for a member of the space, for a size that the space offers and that can be had
here, under the one name that this person has for this space and purpose. Everything else raises a `Problem` with an
HTTP status below 500, so the hub never counts it as a failed start.
"""
