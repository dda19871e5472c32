// Knows the panel that greets a newcomer and says what to try.
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { boot } from "./boot";
import { addressFor, identity } from "./identity";
import { pageStorage } from "./storage";
import { useStore } from "./store";

const AnotherPerson = () => {
  const { choice } = useStore(identity);
  const other = boot.people.find(({ handle }) => handle !== choice);
  if (!other) return null;
  return (
    <a className="agora-open" href={addressFor(other.handle)} target="_blank" rel="noreferrer">
      Open a second window as {other.name}
    </a>
  );
};

// A tab is found by its name, which GraphiQL lengthens to that of the operation last run.
const TabLink = ({ name }: { name: string }) => {
  const index = useGraphiQL((state) => state.tabs.findIndex(({ title }) => title.startsWith(name)));
  const { changeTab } = useGraphiQLActions();
  return (
    <button type="button" className="agora-link" disabled={index < 0} onClick={() => changeTab(index)}>
      {name}
    </button>
  );
};

const LiveLink = () => {
  const { setVisiblePlugin } = useGraphiQLActions();
  return (
    <button type="button" className="agora-link" onClick={() => setVisiblePlugin("Live")}>
      Live panel
    </button>
  );
};

const DemoTour = () => (
  <>
    <p>Open a tab, press play and choose an operation by its name.</p>
    <ol>
      <li>
        <TabLink name="Timeline" />: <code>Timeline</code> shows what the people you follow have posted.
      </li>
      <li>
        <TabLink name="Chat" />: leave <code>ChatLive</code> running, then run <code>ChatSend</code> as someone else: the
        message arrives here.
        <AnotherPerson />
      </li>
      <li>
        <TabLink name="Pay" />: in the <LiveLink /> switch on <i>Balances</i>, then run <code>PaySend</code> as Alice. Her
        balance moves, and Bob's in his window.
      </li>
      <li>
        <TabLink name="Shop" />: order with <code>ShopOrder</code>, pay with <code>ShopPay</code>.
      </li>
      <li>
        <TabLink name="Partner" />: switch to <i>pay-watch</i> at the top right. <code>Partner</code> lists every payment
        event, numbered without gaps.
      </li>
    </ol>
  </>
);

const TokenHint = () => (
  <p>
    Choose <b>Own token…</b> at the top right and paste an access token: queries send it as a header, subscriptions when
    their socket opens. Without one, you see what anybody may see.
  </p>
);

const startOver = (): void => {
  pageStorage.clear();
  location.reload();
};

const Welcome = () => (
  <section className="agora-panel">
    <h2>Welcome to Agora</h2>
    <p>One graph over posts, conversations, wallets and merchants. Everything here is the real API.</p>
    {boot.people.length > 0 ? <DemoTour /> : <TokenHint />}
    <h3>Good to know</h3>
    <ul>
      <li>
        <kbd>Ctrl-Enter</kbd> runs the operation that the cursor stands in.
      </li>
      <li>As whom you act stands in the address, so each window can be someone else.</li>
      <li>The docs, an explorer that writes queries by clicks, and the history are at the left edge.</li>
      <li>
        Expected failures are types, not errors: select <code>... on Error {"{ code message }"}</code>.
      </li>
      <li>
        Lost in edits?{" "}
        <button type="button" className="agora-link" onClick={startOver}>
          Start over with fresh tabs
        </button>
      </li>
    </ul>
  </section>
);

const Icon = () => (
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round">
    <path d="M3.5 9 12 4l8.5 5zM6 12v5M12 12v5M18 12v5M3.5 20.2h17" />
  </svg>
);

export const welcomePlugin = { title: "Welcome", icon: Icon, content: Welcome };
