"""Who calls: the name that the caller's key belongs to, as the mesh says it, never the request."""

from collections.abc import Iterable

# Set by Envoy from the key; it removes what a client sends under this name.
CLIENT_KEY = "x-parley-client"
# Set by the facade, which calls for others: the edge's client. Believed of the facade alone.
PRINCIPAL_KEY = "x-parley-principal"
FACADE = "gateway"
LOCAL = "local"


def read_principal(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Reads the caller's name from a call's metadata.

    Who comes by a service's own socket, past the mesh, is "local".
    """
    pairs = dict(metadata or ())
    client, principal = pairs.get(CLIENT_KEY), pairs.get(PRINCIPAL_KEY)
    if client == FACADE and principal:
        return str(principal)
    return str(client or LOCAL)
