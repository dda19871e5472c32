"""Which URLs may be an endpoint's and to which addresses webhooks may go: the inside of no network is theirs.

A URL is judged by its text when it is set, and by the addresses behind its name at each connection. Whatever could mean
two things to two programs (decimal addresses, user names, zone ids, trailing dots, letters beyond ASCII) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from datastores.errors import ValidationError
from resolvers.texts import web_url

HTTPS_PORTS: Final = (443, 8443)
MAX_HOST: Final = 253
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
# A last label that begins like a number makes a name that some programs read as an address: 0x7f.1, 2130706433, 1.2.3.
_LIKE_A_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")

# Of IPv4 all but these; of IPv6 only what is given out for the internet, without what leads to an IPv4 address inside.
_NO_IPV4: Final = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_IPV6: Final = ip_network("2000::/3")
_NO_IPV6: Final = tuple(
    ip_network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes: `host` is a name or an address in lower case, `path` is with the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


def target_of(url: str, *, private: bool) -> Target:
    """Where a webhook of this URL goes; raises ValidationError for one that none may go to.

    With `private`, which is for development, http and any port, name and address will do.
    """
    parts = urlsplit(web_url(url, "url"))
    if not url.isascii():
        raise ValidationError("Write the URL in ASCII: a name in other letters as xn--…, a path with %…", "url")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc or "\\" in url:
        raise ValidationError("The URL must not have a user name, a password or a backslash", "url")
    if "#" in url:
        raise ValidationError("The URL must not have a fragment", "url")
    if parts.scheme != "https" and not private:
        raise ValidationError("The URL must start with https://", "url")
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not private and port not in HTTPS_PORTS:
        raise ValidationError(f"The port must be {' or '.join(map(str, HTTPS_PORTS))}", "url")
    if "[" in parts.netloc and _address(host) is None:
        raise ValidationError("In brackets stands an IPv6 address", "url")
    _check_host(host, private=private)
    return Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the internet, and of nothing inside."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NO_IPV4)
    if address.scope_id is not None:
        return False
    return address in _IPV6 and not any(address in network for network in _NO_IPV6)


def _check_host(host: str, *, private: bool) -> None:
    address = _address(host)
    if address is not None:
        if not private and not is_public(address):
            raise ValidationError("The URL leads to an address that is not on the internet", "url")
        return
    if len(host) > MAX_HOST or not _NAME.match(host):
        raise ValidationError("The host must be a name of letters, digits, hyphens and dots, or an address", "url")
    last = host.rpartition(".")[2]
    if _LIKE_A_NUMBER.match(last):
        raise ValidationError("Write an address as four decimal numbers, such as 192.0.2.1", "url")
    if not private and ("." not in host or last in ("localhost", "local", "internal", "home", "lan", "arpa")):
        raise ValidationError("The URL must name a host on the internet", "url")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    if "%" in host:
        raise ValidationError("An address in a URL must not have a zone", "url")
    try:
        return ip_address(host)
    except ValueError:
        return None
