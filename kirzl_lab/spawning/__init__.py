"""From a choice to a running server.

Guarantees: nothing starts that `choice.decide` did not allow; the folders and limits of a server are computed from
its `Choice` and never from a request; nothing secret of the hub reaches a server; what a server started ends with it.
"""
