import { render } from "preact";
import { startServerIterationStaging } from "../src/index";
import { actionsOf } from "./actions";
import { httpApi } from "./device/api";
import { DeviceDb } from "./device/db";
import { startSync, type SyncStatus } from "./device/sync";
import { App } from "./view/app";
import "./style.css";

/** Whose device this is. The demo takes the name for a proof; a real page signs its user in. */
const user = new URLSearchParams(location.search).get("user") || "demo-user";
const db = new DeviceDb(user);
const api = httpApi(user);
const root = document.querySelector("#app") as HTMLElement;

const show = (status: SyncStatus) => render(<App db={db} actions={actions} status={status} />, root);
const sync = startSync(db, api, show);
const actions = actionsOf(db, api, sync);
startServerIterationStaging(actions.host, {
  // Named by id: what a mission says stays out of the console.
  onError: (missionId, error) => console.warn("mission could not be staged", missionId, (error as Error).name),
});
show("starting");

// Without it the page cannot be opened offline; all else works.
navigator.serviceWorker?.register("/sw.js").catch(() => undefined);
