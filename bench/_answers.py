"""When a server is there: what every bench of starts asks. Not a bench itself."""

import httpx

LIMIT_S = 120.0


def answers(http: httpx.Client, address: str) -> bool:
    """Whether a server's API and its JupyterLab page answer."""
    try:
        api = http.get(f"{address}/api", follow_redirects=False)
        return api.status_code == 200 and http.get(f"{address}/lab").status_code == 200
    except httpx.TransportError:
        return False


def reachable(address: str) -> bool:
    """Whether something answers there without an error."""
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
