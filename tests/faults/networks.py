"""A network of its own for each node, joined by a bridge, in which one node can be cut off from the others."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import Final

MAX_NAME: Final = 15


class Network:
    """Namespaces `0` to `nodes - 1`, each with one address; this process reaches them all, whatever is cut."""

    def __init__(self, nodes: int) -> None:
        mark = f"{os.getpid() % 1_000_000}"
        self._bridge = f"agora{mark}"[:MAX_NAME]
        self._names = [f"agora-faults-{mark}-{i}" for i in range(nodes)]
        self._links = [f"ag{mark}n{i}" for i in range(nodes)]
        self._subnet = f"10.199.{os.getpid() % 250}"
        self.addresses = [f"{self._subnet}.{11 + i}" for i in range(nodes)]

    def open(self) -> None:
        """Make it; raises OSError where this system does not let us."""
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for name, link, address in zip(self._names, self._links, self.addresses, strict=True):
                _ip("netns", "add", name)
                _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
                _ip("link", "set", link, "master", self._bridge, "up")
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", name, "link", "set", "eth0", "up")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Remove what was made of it."""
        for name in self._names:
            with suppress(OSError):
                _ip("netns", "del", name)
        with suppress(OSError):
            _ip("link", "del", self._bridge)

    def prefix(self, node: int) -> list[str]:
        """What makes a command run in the network of this node."""
        return [shutil.which("ip") or "ip", "netns", "exec", self._names[node]]

    def cut(self, node: int) -> None:
        """From now on nothing that this node sends reaches the other nodes: connections to it fall silent."""
        for address in self._others(node):
            _ip("-n", self._names[node], "route", "add", "blackhole", f"{address}/32")

    def heal(self, node: int) -> None:
        """Join it to the others again."""
        for address in self._others(node):
            _ip("-n", self._names[node], "route", "del", "blackhole", f"{address}/32")

    def _others(self, node: int) -> list[str]:
        return [address for i, address in enumerate(self.addresses) if i != node]


def usable_network(nodes: int) -> Network | None:
    """An open network, or None where network namespaces cannot be used here."""
    network = Network(nodes)
    try:
        network.open()
    except OSError:
        return None
    return network


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
