"""Endpoints that do what they should not: each costs a bounded time, is written down, and loses nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.webhooks import sending
from gateway.webhooks.guard import Guard
from gateway.webhooks.sending import MAX_ANSWER_BYTES, Sender
from tests.integration.gateway.webhooks.offices import Office
from tests.integration.gateway.webhooks.receivers import Received, answers, receiving, status

SECRET = "whsec_" + "c2VjcmV0" * 4
PATIENCE_S = 30.0


def sender(guard: Guard | None = None, tls: ssl.SSLContext | None = None, timeout_s: float = PATIENCE_S) -> Sender:
    return Sender(guard or Guard(private=True), tls or ssl.create_default_context(), timeout_s=timeout_s)


async def send(to: Sender, url: str) -> tuple[int | None, str | None]:
    """Status and error of one attempt."""
    try:
        attempt = await to.send(url, "whd_1", "{}", [SECRET])
    finally:
        await to.close()
    assert attempt["duration_ms"] < 60_000
    return attempt["status_code"], attempt["error"]


async def forever(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await writer.drain()


async def drip(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def head_for_ever(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def informational(request: Received, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(request: Received, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hang_up(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half_an_answer(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Len")
    writer.close()


async def half_a_body(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    writer.close()


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (status(200), (200, None)),
        (status(299), (299, None)),
        (status(400), (400, "STATUS")),
        (status(500), (500, "STATUS")),
        (status(302, "Location: http://127.0.0.1/inside"), (302, "REDIRECT")),
        (status(307, "Location: http://169.254.169.254/"), (307, "REDIRECT")),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"), (200, None)),
        # Whoever says 200 has it, whatever follows; it is not read for longer than a second, nor past 64 KB.
        (forever, (200, None)),
        (half_a_body, (200, None)),
        (head_for_ever, (None, "PROTOCOL")),
        (informational, (None, "TIMEOUT")),
        (silence, (None, "TIMEOUT")),
        (hang_up, (None, "PROTOCOL")),
        (half_an_answer, (None, "PROTOCOL")),
        (answers(b"\x16\x03\x01 this is no HTTP\r\n\r\n"), (None, "PROTOCOL")),
        (answers(b"HTTP/1.1 999999 What\r\n\r\n"), (None, "PROTOCOL")),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), (None, "PROTOCOL")),
        (answers(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000 + b"\r\n\r\n"), (None, "PROTOCOL")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_what_an_endpoint_answers(reply: object, outcome: tuple[int | None, str | None]) -> None:
    async with receiving(reply) as receiver:  # type: ignore[arg-type]
        patience_s = 0.5 if outcome[1] == "TIMEOUT" else PATIENCE_S
        assert await send(sender(timeout_s=patience_s), receiver.url) == outcome

    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("said", "code", "seconds"),
    [
        ("120", 503, 120.0),
        ("0", 429, 0.0),
        ("Wed, 21 Oct 2026 07:30:00 GMT", 503, 120.0),
        ("Wed, 21 Oct 2026 07:00:00 GMT", 503, 0.0),
        ("Wed, 21 Oct 2026 07:30:00 -0000", 500, 120.0),
        ("9" * 30, 503, 1e30),
        ("-5", 503, None),
        ("soon", 503, None),
        ("٣", 503, None),
        ("Wed, 99 Oct 2026 99:99:99 GMT", 503, None),
        ("", 503, None),
        ("120", 204, None),
    ],
)
async def test_when_an_endpoint_wants_to_be_asked_again(said: str, code: int, seconds: float | None) -> None:
    raw = f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\nRetry-After: {said}\r\n\r\n".encode()
    at = datetime(2026, 10, 21, 7, 28)
    to = Sender(Guard(private=True), ssl.create_default_context(), timeout_s=PATIENCE_S, now=lambda: at)
    async with receiving(answers(raw)) as receiver:
        attempt = await to.send(receiver.url, "whd_1", "{}", [SECRET])
        await to.close()

    assert attempt.get("retry_after_s") == seconds


async def test_an_answer_that_comes_too_late_is_taken_for_no_other() -> None:
    late, timeout_s = asyncio.Event(), 3.0

    async def after_the_second_request(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.id == "whd_1":
            await late.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            late.set()
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    async with receiving(after_the_second_request) as receiver:
        to = sender(timeout_s=timeout_s)
        first = await to.send(receiver.url, "whd_1", "{}", [SECRET])
        second = await to.send(receiver.url, "whd_2", "{}", [SECRET])
        await to.close()

    assert (first["status_code"], first["error"]) == (None, "TIMEOUT")
    assert timeout_s * 1000 <= first["duration_ms"] < 30_000
    assert (second["status_code"], second["error"]) == (500, "STATUS")
    # As it is in earnest: whoever answers after a minute is not waited for.
    assert sending.TIMEOUT_S < 60


async def test_an_answer_that_drips_is_not_waited_for() -> None:
    async with receiving(drip) as receiver:
        assert await send(sender(timeout_s=30), receiver.url) == (200, None)


async def test_an_answer_without_an_end_is_read_no_further_than_64_kb() -> None:
    written = 0

    async def counting(request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with receiving(counting) as receiver:
        assert await send(sender(), receiver.url) == (200, None)

    # What the sockets of both sides hold comes on top of what was read.
    assert written < 200 * MAX_ANSWER_BYTES


async def test_nobody_listens_or_is_found() -> None:
    async with receiving() as receiver:
        url = receiver.url

    async def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async def late(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    assert await send(sender(), url) == (None, "CONNECTION")
    assert await send(sender(Guard(private=True, look_up=nobody)), "http://nobody.example/") == (None, "NAME")
    impatient = sender(Guard(private=True, look_up=late), timeout_s=0.5)
    assert await send(impatient, "http://late.example/") == (None, "TIMEOUT")


class TestInside:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%lo", "fc00::1",
            "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1",
            "64:ff9b::7f00:1", "64:ff9b:1::1",
            "2002:7f00:1::", "2001::1", "2001:db8::1",
        ],
    )  # fmt: skip
    async def test_a_name_that_leads_inside_is_not_connected_to(self, address: str) -> None:
        async def inside(host: str, port: int) -> Sequence[str]:
            return [address]

        async def both(host: str, port: int) -> Sequence[str]:
            return ["93.184.216.34", address]

        for look_up in (inside, both):
            guarded = sender(Guard(private=False, look_up=look_up))
            assert await send(guarded, "https://partner.example.com/") == (None, "ADDRESS")

    async def test_an_url_that_leads_inside_is_refused_whoever_wrote_it(self) -> None:
        guarded = sender(Guard(private=False))
        for url in ("http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://example.com:22/"):
            assert await send(guarded, url) == (None, "URL")

    async def test_a_name_that_changes_between_the_look_and_the_connection_is_looked_up_once(self) -> None:
        asked: list[str] = []

        async with receiving() as receiver:

            async def rebinding(host: str, port: int) -> Sequence[str]:
                asked.append(host)
                return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

            url = f"http://rebinding.example:{receiver.port}/hooks?a=1"
            outcome = await send(sender(Guard(private=True, look_up=rebinding)), url)

        assert outcome == (204, None)
        assert asked == ["rebinding.example"]
        # The address that was judged was connected to; the name went along.
        assert receiver.got[0].headers["host"] == f"rebinding.example:{receiver.port}"
        assert receiver.got[0].path == "/hooks?a=1"

    async def test_a_redirect_is_not_followed(self) -> None:
        async with receiving() as inside, receiving(status(302, f"Location: {inside.url}")) as receiver:
            assert await send(sender(), receiver.url) == (302, "REDIRECT")

        assert inside.got == []


class Authority:
    """Issues certificates that only this test trusts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self.certificate = self._sign(self._name, self._key, None, 0, is_authority=True)

    def server(self, name: str | None, days: int = 1) -> ssl.SSLContext:
        """What a server needs that has a certificate for this name (or for 127.0.0.1), valid for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._sign(subject, key, name or "127.0.0.1", days)
        path = self._folder / "server.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def client(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        name: str | None,
        days: int,
        *,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        ends = now + timedelta(days=1 if is_authority else days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - timedelta(days=2))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if name is not None:
            try:
                shown: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
            except ValueError:
                shown = x509.DNSName(name)
            builder = builder.add_extension(x509.SubjectAlternativeName([shown]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class TestTLS:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    async def here(self, host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def test_the_name_is_verified_though_the_address_is_connected_to(self, authority: Authority) -> None:
        guard = Guard(private=True, look_up=self.here)
        async with receiving(tls=authority.server("partner.example.com")) as receiver:
            right = await send(sender(guard, authority.client()), f"https://partner.example.com:{receiver.port}/")
            wrong = await send(sender(guard, authority.client()), f"https://other.example.com:{receiver.port}/")
            address = await send(sender(guard, authority.client()), f"https://127.0.0.1:{receiver.port}/")

        assert right == (204, None)
        assert wrong == address == (None, "TLS")
        assert len(receiver.got) == 1

    async def test_a_certificate_that_is_not_to_be_trusted(self, authority: Authority) -> None:
        guard = Guard(private=True, look_up=self.here)
        async with receiving(tls=authority.server("partner.example.com")) as receiver:
            url = f"https://partner.example.com:{receiver.port}/"
            assert await send(sender(guard), url) == (None, "TLS")
        async with receiving(tls=authority.server("partner.example.com", days=-1)) as receiver:
            url = f"https://partner.example.com:{receiver.port}/"
            assert await send(sender(guard, authority.client()), url) == (None, "TLS")

        assert receiver.got == []

    async def test_a_server_that_speaks_no_tls(self, authority: Authority) -> None:
        async with receiving() as receiver:
            assert (await send(sender(tls=authority.client()), f"https://127.0.0.1:{receiver.port}/"))[0] is None

    async def test_a_connection_of_one_name_is_never_used_for_another(self, authority: Authority) -> None:
        guard = Guard(private=True, look_up=self.here)
        async with receiving(tls=authority.server("partner.example.com")) as receiver:
            one = sender(guard, authority.client())
            first = await one.send(f"https://partner.example.com:{receiver.port}/", "whd_1", "{}", [SECRET])
            other = await one.send(f"https://other.example.com:{receiver.port}/", "whd_1", "{}", [SECRET])
            await one.close()

        assert (first["error"], other["error"]) == (None, "TLS")


async def test_an_endpoint_that_misbehaves_is_written_down_and_gets_its_event_in_the_end(office: Office) -> None:
    async with receiving(head_for_ever) as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(1)
        await receiver.has(2)
        receiver.reply = status(200)
        await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[0])
        (delivery,) = await office.log(endpoint)

    assert delivery["attempts"][0]["error"] == "PROTOCOL"
    assert delivery["state"] == "DELIVERED"
