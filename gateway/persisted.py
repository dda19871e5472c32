"""Documents that are known by their SHA-256: those of the checked-in folder, and those that clients may register."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from graphql import GraphQLSyntaxError, OperationDefinitionNode, parse

from gateway.execution.requests import OperationRequest, RequestError
from gateway.transports.parameters import SHA256_PREFIX, Parameters
from gateway.transports.refusals import malformed

FOLDER: Final = Path(__file__).parent / "documents"
SHA256_ID: Final = re.compile(rf"{SHA256_PREFIX}[0-9a-f]{{64}}\Z")
MAX_REGISTERED: Final = 1_000
MAX_REGISTERED_BYTES: Final = 8 * 1024 * 1024
MAX_REGISTERED_DOCUMENT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class PersistedDocument:
    """One operation with its fragments. `id` is `sha256:` and the hex digest of `text`, the file as it is."""

    name: str
    id: str
    text: str


def load_documents(folder: Path = FOLDER) -> Mapping[str, PersistedDocument]:
    """The documents in `folder`, by id. Raises ValueError for a file that does not hold one operation of its name."""
    documents = [_read(path) for path in sorted(folder.glob("*.graphql"))]
    return {document.id: document for document in documents}


def document_id(text: str) -> str:
    """The id of a document's text."""
    return SHA256_PREFIX + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Shelf(Protocol):
    """Where registered documents lie for all processes."""

    async def find(self, id: str) -> str | None:
        """The text of a document, or None."""
        ...

    async def keep(self, id: str, text: str) -> None:
        """Keep a document for the others."""
        ...


class Documents:
    """Finds the document that a request names.

    `persisted_only` refuses every document that is not in the folder; `automatic` lets clients register documents, the
    least recently used of which are forgotten past 1,000 or 8 MB. What is registered here lies on the `shelf` before
    the client is answered, and what is not known here is looked for there.
    """

    def __init__(
        self,
        persisted: Mapping[str, PersistedDocument],
        *,
        automatic: bool = False,
        persisted_only: bool = False,
        shelf: Shelf | None = None,
    ) -> None:
        self._shelf = shelf
        self._persisted = persisted
        self._automatic = automatic and not persisted_only
        self._persisted_only = persisted_only
        self._registered: OrderedDict[str, str] = OrderedDict()
        self._registered_bytes = 0

    async def fetch(self, parameters: Parameters) -> None:
        """Look on the shelf for a document that is named and not sent, where it is not known here."""
        id = parameters.document_id
        if self._shelf is None or not self._automatic or id is None or parameters.query is not None:
            return
        if not SHA256_ID.match(id) or id in self._persisted or id in self._registered:
            return
        text = await self._shelf.find(id)
        if text is not None and document_id(text) == id:
            self._remember(id, text)

    def request(self, parameters: Parameters) -> OperationRequest:
        """The request with the text of its document.

        Raises RequestError: PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_REQUIRED, BAD_REQUEST where id and text differ.
        """
        query, known = self._text(parameters)
        return OperationRequest(
            query, parameters.operation_name, parameters.variables, parameters.extensions, persisted=known
        )

    async def register(self, parameters: Parameters) -> None:
        """Remember the document of a request that named and sent it, where that is allowed.

        Call it once the document has proved valid, so that garbage does not push documents out.
        """
        id, text = parameters.document_id, parameters.query
        if not self._automatic or id is None or text is None or id in self._persisted or id in self._registered:
            return
        if self._remember(id, text) and self._shelf is not None:
            await self._shelf.keep(id, text)

    def _remember(self, id: str, text: str) -> bool:
        if id in self._registered:
            # Another request has brought it meanwhile.
            return True
        size = len(text.encode())
        if size > MAX_REGISTERED_DOCUMENT_BYTES:
            return False
        self._registered[id] = text
        self._registered_bytes += size
        while len(self._registered) > MAX_REGISTERED or self._registered_bytes > MAX_REGISTERED_BYTES:
            _, forgotten = self._registered.popitem(last=False)
            self._registered_bytes -= len(forgotten.encode())
        return True

    def _text(self, parameters: Parameters) -> tuple[str, bool]:
        id, query = parameters.document_id, parameters.query
        if id is None and query is not None:
            if self._persisted_only:
                raise _required()
            return query, False
        if id is not None and query is not None and document_id(query) != id:
            raise malformed("The document's SHA-256 is not the one that the request names")
        if id is not None and (text := self._find(id)) is not None:
            return text, True
        if query is None:
            raise self._not_found(parameters)
        if self._persisted_only:
            raise _required()
        return query, False

    def _find(self, id: str) -> str | None:
        if (document := self._persisted.get(id)) is not None:
            return document.text
        if id in self._registered:
            self._registered.move_to_end(id)
            return self._registered[id]
        return None

    def _not_found(self, parameters: Parameters) -> RequestError:
        if not parameters.automatic:
            return RequestError("PERSISTED_QUERY_NOT_FOUND", f"No document has the id {parameters.document_id!r:.100}")
        # Clients of automatic persisted queries tell the two cases apart by these very messages.
        message = "PersistedQueryNotFound" if self._automatic else "PersistedQueryNotSupported"
        return RequestError("PERSISTED_QUERY_NOT_FOUND", message)


def _required() -> RequestError:
    return RequestError("PERSISTED_QUERY_REQUIRED", "Only persisted documents are accepted: send a 'documentId'")


def _read(path: Path) -> PersistedDocument:
    try:
        text = path.read_bytes().decode("utf-8")
        operations = [node for node in parse(text).definitions if isinstance(node, OperationDefinitionNode)]
    except (UnicodeDecodeError, GraphQLSyntaxError) as error:
        raise ValueError(f"{path.name} is not a GraphQL document: {error}") from None
    names = [operation.name.value if operation.name else "" for operation in operations]
    if names != [path.stem]:
        raise ValueError(f"{path.name} must hold one operation, named {path.stem}; it holds {names}")
    return PersistedDocument(path.stem, document_id(text), text)
