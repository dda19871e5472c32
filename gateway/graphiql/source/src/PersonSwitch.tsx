// Knows the switch that says as whom every request is made.
import { useState } from "react";
import { boot } from "./boot";
import { socketState } from "./events";
import { actAs, actWithToken, identity, NOBODY, OWN_TOKEN } from "./identity";
import { useStore } from "./store";

const SOCKET_HINT = {
  off: "No subscription is running",
  connecting: "Connecting the WebSocket",
  connected: "WebSocket connected",
};

const TokenField = () => {
  const [text, setText] = useState("");
  const { token } = useStore(identity);
  return (
    <form
      className="agora-token"
      onSubmit={(event) => {
        event.preventDefault();
        actWithToken(text);
        setText("");
      }}
    >
      <input
        type="password"
        autoComplete="off"
        spellCheck={false}
        aria-label="Access token"
        placeholder={token ? "Token is set" : "Paste an access token"}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit">Use</button>
    </form>
  );
};

export const PersonSwitch = () => {
  const { choice } = useStore(identity);
  const socket = useStore(socketState);
  return (
    <div className="agora-identity">
      {choice === OWN_TOKEN && <TokenField />}
      <span className={`agora-socket agora-socket-${socket}`} title={SOCKET_HINT[socket]} role="img" aria-label={SOCKET_HINT[socket]} />
      <label className="agora-person">
        <span>Acting as</span>
        <select value={choice} onChange={(event) => actAs(event.target.value)} aria-label="Acting as">
          {boot.people.map(({ handle, name, note }) => (
            <option key={handle} value={handle}>
              {note ? `${name} · ${note}` : name}
            </option>
          ))}
          <option value={NOBODY}>Nobody</option>
          <option value={OWN_TOKEN}>Own token…</option>
        </select>
      </label>
    </div>
  );
};
