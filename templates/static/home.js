// Stops and deletes servers without leaving the page, and keeps the list true. Starting and adding are plain forms.
import { call, complain, refresh, serverPath } from "./hub.js";

const SOON = 2000;
const LATER = 30000;
let timer;

function home() {
  return document.getElementById("home");
}

/** Whether the person is in the middle of something that a fresh list would throw away. */
function busy() {
  return document.activeElement?.matches("#home input") || home().querySelector("details[open]");
}

async function update(force) {
  clearTimeout(timer);
  if (!document.hidden && (force || !busy()) && !(await refresh("home"))) return location.reload();
  timer = setTimeout(update, home().dataset.pending === "true" ? SOON : LATER);
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.server");
  const action = event.submitter?.value;
  if (!form || (action !== "stop" && action !== "delete")) return;
  event.preventDefault();
  complain(null);
  // Until the answer is there, "Open" would lead to a server that goes away.
  const actions = form.querySelector(".server-actions");
  actions.inert = true;
  try {
    const path = serverPath(home().dataset.owner, form.dataset.serverName);
    await call("DELETE", path, action === "delete" ? { remove: true } : undefined);
  } catch (error) {
    complain(error);
    actions.inert = false;
    return;
  }
  await update(true);
});

document.addEventListener("visibilitychange", () => document.hidden || update());
timer = setTimeout(update, home().dataset.pending === "true" ? SOON : LATER);
