"""Whether wandb's server can be used from here, asked before wandb is."""

import netrc
import os
import socket
from urllib.parse import urlparse

CONNECT_SECONDS = 3.0


def server() -> str:
    """Address of the server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def has_key() -> bool:
    """Whether this user has told wandb a key, by variable or by `wandb login`."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        return (
            netrc.netrc(os.environ.get("NETRC")).authenticators(urlparse(server()).hostname or "")
            is not None
        )
    except (OSError, netrc.NetrcParseError):
        return False


def answers() -> bool:
    """Whether the server takes connections from here, asked for a few seconds at most."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True  # only wandb knows how to go through it
    address = urlparse(server())
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
