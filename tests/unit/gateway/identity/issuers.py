"""An OpenID Connect issuer on a real socket of this machine, which a test can rotate, break, slow down and count."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

AUDIENCE = "https://graph.example.org"
START = 1_800_000_000.0


@dataclass
class Clock:
    """A time that a test moves by hand."""

    now: float = START

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Signs tokens and publishes its keys; everything it answers can be changed while it runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[Key] = [new_key("RSA")]
        self.status = 200
        self.headers: dict[str, str] = {}
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/jwks.json"}
        self.body: bytes | None = None
        self.requests: Counter[str] = Counter()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.was_asked = threading.Event()

    def answer(self, path: str) -> bytes:
        self.requests[path] += 1
        self.was_asked.set()
        self.may_answer.wait(10)
        if path == "/.well-known/openid-configuration":
            return json.dumps(self.discovery).encode()
        if self.body is not None:
            return self.body
        return json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "248289761001", "iat": int(START), "exp": int(START) + 300}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, key: Key | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        key = key or self.keys[0]
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[key.key_type]
        full_header = {"alg": algorithm, "kid": key.kid, **(header or {})}
        signed = {name: value for name, value in full_header.items() if value is not None}
        return sign(signed, self.claims(**changes), lambda text: JWSRegistry.algorithms[signed["alg"]].sign(text, key))


def sign(header: dict[str, Any], claims: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    """A token put together by hand: those who forge one are not held back by a library."""
    signing_input = b".".join(urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims))
    return (signing_input + b"." + urlsafe_b64encode(signature(signing_input))).decode()


def new_key(kind: str = "EC", parameters: KeyParameters | None = None) -> Key:
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, parameters=parameters, auto_kid=True)
        case "EC":
            return ECKey.generate_key("P-256", parameters=parameters, auto_kid=True)
        case _:
            return OKPKey.generate_key("Ed25519", parameters=parameters, auto_kid=True)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer that answers at `issuer.url` until the block ends."""
    holder: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer = holder[0]
            body = issuer.answer(self.path)
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in issuer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    holder.append(Issuer(f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield holder[0]
    finally:
        holder[0].may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()
