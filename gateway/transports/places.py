"""How many sockets and event streams each client has open in this process, and how many it may have."""

from __future__ import annotations

from gateway.budgets import Client
from gateway.metrics import Metrics


class Place:
    """One open socket or stream, counted for a client until it leaves."""

    def __init__(self, places: Places, client: Client) -> None:
        self._places = places
        self._client: Client | None = client

    def move_to(self, client: Client, transport: str) -> str | None:
        """Count it for `client` from now on; the refusal, and nothing changed, where the client has all it may have."""
        if client != self._client:
            if not self._places.enter(client, transport):
                return self._places.refusal(client)
            self.leave()
            self._client = client
        return None

    def leave(self) -> None:
        """It was closed; a second time changes nothing."""
        if self._client is not None:
            self._places.leave(self._client)
            self._client = None


class Places:
    """What is open, by client. It knows no client that has nothing open, so it is no larger than what is open.

    People and partners' keys may have `per_client`. `per_address` is for those who have not said who they are: sockets
    before `connection_init`, and all that is anonymous. Whoever is refused is counted in `metrics`.
    """

    def __init__(self, metrics: Metrics, *, per_client: int, per_address: int) -> None:
        self._metrics = metrics
        self._per_client = per_client
        self._per_address = per_address
        self._open: dict[Client, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take(self, client: Client, transport: str) -> Place | None:
        """A place, or None where the client has all it may have."""
        return Place(self, client) if self.enter(client, transport) else None

    def enter(self, client: Client, transport: str) -> bool:
        """Count one more; False, and not counted, where the client has all it may have."""
        if (count := self._open.get(client, 0)) >= self._most(client):
            self._metrics.socket_refused(transport, "address" if _is_address(client) else "client")
            return False
        self._open[client] = count + 1
        return True

    def leave(self, client: Client) -> None:
        """Count one less."""
        if (count := self._open[client] - 1) > 0:
            self._open[client] = count
        else:
            del self._open[client]

    def refusal(self, client: Client) -> str:
        """What whoever got no place is told."""
        whose = "from an address without a credential" if _is_address(client) else "for a client"
        return f"At most {self._most(client)} sockets and streams may be open {whose}: close one first"

    def _most(self, client: Client) -> int:
        return self._per_address if _is_address(client) else self._per_client


def _is_address(client: Client) -> bool:
    return client[0] == "address"
