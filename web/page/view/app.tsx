import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Actions } from "../actions";
import type { DeviceDb } from "../device/db";
import type { SyncStatus } from "../device/sync";
import { PageContext, useContents } from "./live";
import { Missions } from "./missions";
import { Modules } from "./modules";

/** How long a message stays in sight. In milliseconds. */
const MESSAGE_STAYS = 8_000;

/** The whole page. */
export function App({ db, actions, status }: { db: DeviceDb; actions: Actions; status: SyncStatus }) {
  const contents = useContents(db);
  const [message, say] = useMessage();
  if (!contents) return <p class="empty">Einen Moment …</p>;
  const count = contents.proposals.length;
  return (
    <PageContext.Provider value={{ contents, actions, say }}>
      <a class="skip" href="#missions">
        Zu den Missionen
      </a>
      <header>
        <h1>
          Mana <span class="muted">Eingang</span>
        </h1>
        <p class="sync" data-status={status}>
          {statusInWords(status, contents.pendingCount)}
        </p>
      </header>
      <main>
        <section class="proposals" aria-labelledby="proposals-heading">
          <h2 id="proposals-heading" tabIndex={-1}>
            {count === 0
              ? "Nichts zu entscheiden"
              : count === 1
                ? "Ein Vorschlag für dich"
                : `${count} Vorschläge für dich`}
          </h2>
          <Modules />
        </section>
        <Missions />
      </main>
      <p class="message" role="status">
        {message}
      </p>
    </PageContext.Provider>
  );
}

function statusInWords(status: SyncStatus, pending: number): string {
  const waiting = pending === 1 ? "1 Änderung wartet" : `${pending} Änderungen warten`;
  if (status === "starting") return "Verbindet …";
  if (status === "synced") return pending === 0 ? "Abgeglichen" : "Gleicht ab …";
  const state = status === "offline" ? "Offline" : "Abgleich nicht möglich";
  return pending === 0 ? `${state}, alles gespeichert` : `${state}, ${waiting}`;
}

/** The last message, until it has been read. */
function useMessage(): [string, (text: string) => void] {
  const [message, setMessage] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const say = useCallback((text: string) => {
    clearTimeout(timer.current);
    setMessage(text);
    timer.current = setTimeout(() => setMessage(""), MESSAGE_STAYS);
  }, []);
  return [message, say];
}
