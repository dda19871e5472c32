// Knows the panel that greets a newcomer and says what to try.
import { boot } from "./boot";
import { addressFor, identity } from "./identity";
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

const DemoTour = () => (
  <ol>
    <li>
      <b>Timeline</b> is open. Press the play button, or Ctrl-Enter.
    </li>
    <li>
      <b>Chat</b>: run <code>ChatLive</code>, then send a message from the other window with <code>ChatSend</code>.
      <AnotherPerson />
    </li>
    <li>
      <b>Pay</b>: switch on <i>Balances</i> in the Live panel, then run <code>PaySend</code> and watch the balance move.
    </li>
    <li>
      <b>Shop</b>: order with <code>ShopOrder</code>, pay with <code>ShopPay</code>.
    </li>
    <li>
      <b>Partner</b>: act as <i>pay-watch</i> and follow every payment event, with proof that none is missing.
    </li>
  </ol>
);

const TokenHint = () => (
  <p>
    Choose <b>Own token…</b> at the top right and paste an access token: queries send it as a header, subscriptions when
    their socket opens. Without one, you see what anybody may see.
  </p>
);

const Welcome = () => (
  <section className="agora-panel">
    <h2>Welcome to Agora</h2>
    <p>One graph over posts, conversations, wallets and merchants. Everything here is the real API.</p>
    {boot.people.length > 0 ? <DemoTour /> : <TokenHint />}
    <h3>Good to know</h3>
    <ul>
      <li>A tab holds several operations: Ctrl-Enter runs the one that the cursor stands in.</li>
      <li>
        The switch at the top right says as whom you act; it stands in the address, so each window can be someone else.
      </li>
      <li>
        The docs (<kbd>Ctrl</kbd>-click on a field opens them) and the explorer are at the left edge.
      </li>
      <li>
        Expected failures are types of their own: select them with <code>... on Error {"{ code message }"}</code>.
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
