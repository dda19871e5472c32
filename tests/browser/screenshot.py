"""Knows how the README's picture is taken: `python -m tests.browser.screenshot docs/graphiql.png`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.server import chromium, development_server
from tests.browser.window import Window

MOST_BYTES = 300_000
SHOW_OPERATION = """name => {
  const editors = globalThis.__MONACO.editor.getEditors();
  const editor = editors.find(editor => editor.getModel()?.uri.path.endsWith("operation.graphql"));
  const [found] = editor.getModel().findMatches(`mutation ${name}`, false, false, true, null, false);
  editor.setScrollTop(editor.getTopForLineNumber(found.range.startLineNumber));
}"""

AT_REST = "document.getAnimations().every(animation => animation.playState === 'finished')"


def act_out(alice: Window, bob: Window) -> None:
    """Let Bob write to Alice and Alice buy a ware and pay him, while her Live panel listens."""
    alice.show_panel("Live")
    for label in ("Messages", "Balances", "Orders"):
        alice.watch(label)
    expect(alice.balance("EUR")).to_be_visible()
    bob.show_tab("Chat")
    bob.set_variables(text="Coffee at the square?")
    bob.run("ChatSend")
    expect(alice.log().filter(has_text="Coffee at the square?")).to_be_visible()
    alice.show_tab("Shop")
    alice.run("ShopOrder")
    alice.start("ShopPay")
    expect(alice.log().filter(has_text="PAID")).to_be_visible()
    alice.show_tab("Pay")
    alice.page.evaluate(SHOW_OPERATION, "PaySend")
    alice.run("PaySend")
    expect(alice.balance("EUR")).to_contain_text("to bob")


def main() -> None:
    """Take the picture, to the path given. Exits with 1 where it is larger than a page should carry."""
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, development_server(Path(folder)) as address, chromium() as browser:
        alice, bob = Window(browser, address).open("alice"), Window(browser, address).open("bob")
        act_out(alice, bob)
        alice.page.mouse.move(720, 895)
        alice.wait_until(lambda: alice.page.evaluate(AT_REST))
        alice.screenshot(path)
        problems = alice.problems + bob.problems
        alice.close()
        bob.close()
    size = path.stat().st_size
    if problems or size > MOST_BYTES:
        sys.exit(f"{path}: {size} bytes, at most {MOST_BYTES}; problems: {problems}")


if __name__ == "__main__":
    main()
