"""Services of others over HTTP: their clients, and the breakers in front of them."""

from .breakers import Breaker, OpenBreakerError
from .clients import OnCall, Upstream, UpstreamClient, open_services

__all__ = ["Breaker", "OnCall", "OpenBreakerError", "Upstream", "UpstreamClient", "open_services"]
