"""URLs that no webhook may go to, whatever they are written like; and addresses that are of the internet."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from datastores.errors import ValidationError
from resolvers.webhooks import Target, is_public, target_of

REFUSED = [
    "http://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "https://",
    "https:///path",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com#@127.0.0.1/",
    "https://example.com/#part",
    "https://example.com:80/",
    "https://example.com:22/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://localhost/",
    "https://a.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://router/",
    "https://example.com./",
    "https://example..com/",
    "https://-example.com/",
    "https://exa_mple.com/",
    "https://exämple.com/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://example.com/ü",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://127.0.0.1./",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[2606:4700::1111%25eth0]/",
    "https://[v1.fe]/",
    "https://example.com/a b",
    "https://example.com/\n",
    "https://example.com/\x00",
    "https://" + "a" * 64 + ".com/",
    "https://" + ".".join(["abcdefgh"] * 40) + ".com/",
    "https://example.com/" + "a" * 2048,
]


@pytest.mark.parametrize("url", REFUSED, ids=ascii)
def test_an_url_that_no_webhook_may_go_to(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        target_of(url, private=False)

    assert refused.value.details["path"] == ["url"]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("https://EXAMPLE.com:8443/a/b?c=d", Target("https", "example.com", 8443, "/a/b?c=d")),
        ("https://xn--exmple-cua.com/", Target("https", "xn--exmple-cua.com", 443, "/")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_an_url_that_one_may_go_to(url: str, target: Target) -> None:
    assert target_of(url, private=False) == target


def test_in_development_this_machine_will_do() -> None:
    assert target_of("http://localhost:9000/hooks", private=True) == Target("http", "localhost", 9000, "/hooks")
    assert target_of("http://127.0.0.1:9000/", private=True).authority == "127.0.0.1:9000"
    assert target_of("http://[::1]/", private=True).authority == "[::1]"
    for url in ("http://a@localhost/", "http://localhost/#x", "http://0x7f000001/", "http://127.0.0.1%00/"):
        with pytest.raises(ValidationError):
            target_of(url, private=True)


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1"])
def test_an_address_of_the_internet(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.255.255.255", "169.254.169.254", "172.31.255.255", "192.0.0.1"),
        *("192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "203.0.113.9"),
        *("::", "::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::", "2001::1", "2001:db8::1", "fc00::1"),
        *("fe80::1", "fec0::1", "ff02::1", "100::1", "3fff::1", "5f00::1", "2606:4700::1%eth0"),
    ],
)
def test_an_address_of_something_inside(text: str) -> None:
    assert not is_public(ip_address(text))
