// Knows how the parts make up the page.
import "./monaco";
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { useGraphiQL, useGraphiQLActions, useMonaco } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import { useEffect, useRef } from "react";
import { createRoot } from "react-dom/client";
import { boot } from "./boot";
import { tabs } from "./documents";
import { events, socketState } from "./events";
import { identity } from "./identity";
import { livePlugin } from "./Live";
import { PersonSwitch } from "./PersonSwitch";
import { keptTab, pageStorage } from "./storage";
import { useStore } from "./store";
import "./style.css";
import { fetcher } from "./transport";
import { welcomePlugin } from "./Welcome";

const plugins = [explorerPlugin({ showAttribution: false }), HISTORY_PLUGIN, livePlugin, welcomePlugin];
const kept = keptTab();
const opened = kept ?? tabs[0];

// Where introspection needs a token, the schema can be read only after one is given.
const ReadSchemaWhenAllowed = () => {
  const { token } = useStore(identity);
  const schema = useGraphiQL((state) => state.schema);
  const { introspect } = useGraphiQLActions();
  const asked = useRef(token);
  useEffect(() => {
    if (token === asked.current) return;
    asked.current = token;
    if (!schema) void introspect();
  }, [token, schema, introspect]);
  return null;
};

const EDITOR_FONT_PX = 13;

// With a panel open, a laptop leaves each editor some 40 characters.
const FitEditors = () => {
  const monaco = useMonaco((state) => state.monaco);
  useEffect(() => {
    if (!monaco) return;
    const fit = (editor: Parameters<Parameters<typeof monaco.editor.onDidCreateEditor>[0]>[0]) =>
      editor.updateOptions({ fontSize: EDITOR_FONT_PX, wordWrap: "on" });
    monaco.editor.getEditors().forEach(fit);
    const created = monaco.editor.onDidCreateEditor(fit);
    return () => created.dispose();
  }, [monaco]);
  return null;
};

const EventCount = () => {
  const { total, latest } = useStore(events);
  const socket = useStore(socketState);
  if (total === 0) return null;
  return (
    <div className="agora-count">
      {total === 1 ? "1 event" : `${total} events`}, last {latest[0]?.at.toLocaleTimeString() ?? "cleared"}
      {socket === "connecting" && ", reconnecting…"}
    </div>
  );
};

createRoot(document.getElementById("graphiql")!).render(
  <GraphiQL
    fetcher={fetcher}
    storage={pageStorage}
    defaultTabs={tabs}
    initialQuery={opened?.query ?? undefined}
    initialVariables={opened?.variables ?? undefined}
    plugins={plugins}
    visiblePlugin={kept ? undefined : welcomePlugin}
    defaultEditorToolsVisibility="variables"
    showPersistHeadersSettings={false}
    inputValueDeprecation
    schemaDescription
  >
    <GraphiQL.Logo>
      <div className="agora-head">
        <PersonSwitch />
        <span className="agora-word">Agora</span>
      </div>
    </GraphiQL.Logo>
    <GraphiQL.Footer>
      <EventCount />
    </GraphiQL.Footer>
    <FitEditors />
    <ReadSchemaWhenAllowed />
  </GraphiQL>,
);

document.title = boot.people.length > 0 ? "Agora · GraphiQL (development)" : "Agora · GraphiQL";
