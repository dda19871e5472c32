"""Knows how a person uses a GraphiQL window: tabs, operations, answers, the switch of person, the Live panel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, expect

ANSWER_TIMEOUT_MS = 60_000
expect.set_options(timeout=ANSWER_TIMEOUT_MS)
MODEL_VALUE = """name => {
  const models = globalThis.__MONACO?.editor.getModels() ?? [];
  return models.find(model => model.uri.path.endsWith(name))?.getValue() ?? "";
}"""
KEPT_TABS = """() => {
  const key = Object.keys(localStorage).find(key => key.endsWith("tabState"));
  return key ? localStorage.getItem(key) : "";
}"""


class Window:
    """One browser window with storage of its own. `problems` lists what must never happen in it."""

    def __init__(self, browser: Browser, address: str) -> None:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.route("**/*", self._only_own_host)
        self._watch(context.new_page(), address, [])

    def _watch(self, page: Page, address: str, problems: list[str]) -> None:
        self.page = page
        self.problems = problems
        self.sockets_opened = 0
        self._address = address
        self.page.set_default_timeout(ANSWER_TIMEOUT_MS)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("websocket", lambda socket: self._note_socket(socket.url))

    def open(self, person: str = "alice") -> Window:
        """Load the page as this person and wait until the schema is read and the editor stands."""
        self.page.goto(f"{self._address}/graphql#as={person}")
        expect(self.page.get_by_label("Acting as", exact=True).last).to_be_visible()
        expect(self.page.get_by_role("tab", name="Timeline")).to_be_visible()
        self.wait_until(lambda: "query Timeline" in self.document())
        return self

    def open_second(self) -> Window:
        """Follow the link to a second window, which shares the storage, the address and the list of problems."""
        with self.page.context.expect_page() as opened:
            self.page.get_by_role("link", name="Open a second window").click()
        second = Window.__new__(Window)
        second._watch(opened.value, self._address, self.problems)
        expect(second.page.get_by_role("tab", name="Timeline")).to_be_visible()
        return second

    def close(self) -> None:
        """Close the window and forget its storage."""
        self.page.context.close()

    def act_as(self, choice: str) -> None:
        """Choose a person, `Nobody` or `Own token…` by the label that the switch shows."""
        select = self.page.get_by_role("combobox", name="Acting as")
        labels = [label for label in select.locator("option").all_inner_texts() if label.startswith(choice)]
        select.select_option(label=labels[0])

    def paste_token(self, token: str) -> None:
        """Act with a token of one's own."""
        self.act_as("Own token")
        self.page.get_by_label("Access token").fill(token)
        self.page.get_by_role("button", name="Use", exact=True).click()

    def show_tab(self, title: str) -> None:
        """Bring the tab to the front whose title begins so."""
        self.page.get_by_role("tab", name=title).first.click()

    def type_query(self, text: str) -> None:
        """Replace the document by typing, key by key."""
        self.page.locator(".graphiql-query-editor .monaco-editor").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)
        self.wait_until(lambda: self.document() == text)
        expect(self._play()).not_to_have_attribute("aria-haspopup", "menu")

    def paste_query(self, text: str) -> None:
        """Replace the document by a whole text from the clipboard."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.locator(".graphiql-query-editor .monaco-editor").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Control+V")
        self.wait_until(lambda: self.document() == text, showing=self.document)
        expect(self._play()).not_to_have_attribute("aria-haspopup", "menu")

    def document(self) -> str:
        """Return the text of the operation editor."""
        return self._model("operation.graphql")

    def variables(self) -> str:
        """Return the text of the variables editor."""
        return self._model("variables.json")

    def set_variables(self, **changes: object) -> None:
        """Change some of the tab's variables, keeping the others."""
        variables = {**json.loads(self.variables() or "{}"), **changes}
        self.page.locator(".graphiql-editor-tool .monaco-editor").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(json.dumps(variables))
        # The editor closes brackets and quotes by itself, also after a whole text.
        self.page.keyboard.press("Control+Shift+End")
        self.page.keyboard.press("Delete")
        self.wait_until(lambda: json.loads(self.variables() or "{}") == variables)

    def start(self, operation: str | None = None) -> None:
        """Press play, and choose the operation where the document has several."""
        self._play().click()
        if operation is not None:
            self.page.get_by_role("menuitem", name=operation, exact=True).click()

    def stop(self) -> None:
        """End the subscription that runs in the editor."""
        self.page.get_by_role("button", name="Stop query").click()

    def run(self, operation: str | None = None) -> dict[str, Any]:
        """Run an operation and return its whole answer, parsed."""
        self.start(operation)
        return self.answer()

    def answer(self, holds: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """Wait for an answer in the response pane that holds, and return it."""
        self.wait_until(lambda: holds(self._parsed_answer()), showing=lambda: self._model("response.json"))
        return self._parsed_answer()

    def show_panel(self, title: str) -> None:
        """Open a panel at the left edge."""
        self.page.get_by_role("button", name=f"Show {title}").click()

    def watch(self, label: str) -> None:
        """Switch a stream of the Live panel on, and wait until it is being listened to."""
        before = self.sockets_opened
        self.page.get_by_role("checkbox", name=label).check()
        if before == 0:
            self.wait_for_socket()

    def wait_for_socket(self) -> None:
        """Wait until the WebSocket is acknowledged."""
        expect(self.page.get_by_role("img", name="WebSocket connected")).to_be_visible()

    def balance(self, currency: str) -> Locator:
        """Return the card of the Live panel that shows the balance in this currency."""
        return self.page.get_by_role("list", name="Balances now").get_by_role("listitem").filter(has_text=currency)

    def log(self) -> Locator:
        """Return the entries of the Live panel's log, newest first."""
        return self.page.get_by_role("list", name="Events").locator("summary")

    def screenshot(self, path: Path) -> None:
        """Save a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    def wait_until(self, holds: Callable[[], bool], showing: Callable[[], str] = str) -> None:
        """Wait for a condition, for at most the time an answer may take."""
        waited_ms = 0
        while not holds():
            assert waited_ms < ANSWER_TIMEOUT_MS, f"still not so after {ANSWER_TIMEOUT_MS} ms: {showing()}"
            self.page.wait_for_timeout(50)
            waited_ms += 50

    def kept_tabs(self) -> str:
        """Return what the page would open with if it were loaded again."""
        return str(self.page.evaluate(KEPT_TABS))

    def boot(self) -> dict[str, Any]:
        """Return what the server told the page."""
        told: dict[str, Any] = json.loads(self.page.locator("#boot").inner_text() or "{}")
        return told

    def _play(self) -> Locator:
        return self.page.get_by_role("button", name="Execute query")

    def _model(self, name: str) -> str:
        return str(self.page.evaluate(MODEL_VALUE, name))

    def _parsed_answer(self) -> dict[str, Any]:
        try:
            parsed: dict[str, Any] = json.loads(self._model("response.json"))
        except json.JSONDecodeError:
            return {}
        return parsed

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _note_socket(self, url: str) -> None:
        self.sockets_opened += 1
        if urlsplit(url).netloc != urlsplit(self._address).netloc:
            self.problems.append(f"socket to another host: {url}")

    def _only_own_host(self, route: Route, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("data", "blob") or asked.netloc == urlsplit(self._address).netloc:
            route.continue_()
        else:
            self.problems.append(f"request to another host: {request.url}")
            route.abort()
