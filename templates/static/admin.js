// The table of people: search while typing, live rows over one stream, ticks with their bar, and keys.
import { look, page } from "./hub.js";

const search = document.getElementById("q");
const keys = document.getElementById("keys");
const ticked = new Set();
let timer, newcomers, source;

const people = () => document.getElementById("people");
const boxes = () => [...people().querySelectorAll("input[name=user]")];
const links = () => [...people().querySelectorAll("tbody th a")];

/** Shows who is ticked, and how many. */
function tell() {
  for (const box of boxes()) box.checked = ticked.has(box.value);
  const count = ticked.size;
  const [bulk, text, all] = ["bulk", "bulk-count", "all"].map((id) => document.getElementById(id));
  if (all) all.checked = count > 0 && boxes().every((box) => box.checked);
  if (!bulk) return;
  bulk.classList.toggle("some", count > 0);
  text.textContent = count === 1 ? text.dataset.one : text.dataset.many.replace("{}", count);
}

function tick(box, on) {
  if (on) ticked.add(box.value);
  else ticked.delete(box.value);
}

const row_of = (user) => boxes().find((box) => box.value === user)?.closest("tr");
const within = (element) => [...(element?.querySelectorAll("a, button, input") ?? [])];

/** Puts a fresh row, or none, in the place of an old one, without taking the focus away. */
function put({ user, html }) {
  const row = row_of(user);
  if (!row) {
    // Somebody who has come to the list: the others come with the same look.
    clearTimeout(newcomers);
    if (html) newcomers = setTimeout(renew, 100);
    return;
  }
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.querySelector("tr");
  if (!fresh) {
    ticked.delete(user);
    row.remove();
    return tell();
  }
  const place = within(row).indexOf(document.activeElement);
  row.replaceWith(fresh);
  if (place >= 0) (within(fresh)[place] ?? fresh.querySelector("th a")).focus();
  tell();
}

/** Puts a fresh list in the place of the old one. */
function list(fresh) {
  people().replaceWith(document.adoptNode(fresh));
  tell();
  follow();
}

/** Fetches the list as it is now. Ticks and focus stay where they are. */
async function renew() {
  const seen = await look(location.href);
  const fresh = seen?.fresh.getElementById("people");
  if (!fresh) return;
  const active = document.activeElement;
  const row = active.closest("#people tbody tr");
  const user = row?.querySelector("input[name=user]")?.value;
  const place = within(row ?? people()).indexOf(active);
  list(fresh);
  const there = new Set(boxes().map((box) => box.value));
  for (const name of [...ticked]) if (!there.has(name)) ticked.delete(name);
  tell();
  if (place >= 0) within(user ? row_of(user) : people())[place]?.focus();
}

function follow() {
  source?.close();
  const { events, query, seen } = people().dataset;
  const url = new URL(`${events}?${query}`, location.href);
  url.searchParams.set("seen", seen);
  url.searchParams.set("_xsrf", page.xsrf);
  source = new EventSource(url);
  source.onmessage = ({ data }) => put(JSON.parse(data));
  // It connects again by itself, except when it may not or there is no room: then later.
  source.onerror = () => source.readyState === EventSource.CLOSED && setTimeout(() => document.hidden || follow(), 15000);
}

/** Fetches the list for what is typed, and puts it in place. */
async function find() {
  const form = search.form;
  const query = new URLSearchParams(new FormData(form));
  const address = `${form.getAttribute("action")}?${query}`;
  const seen = await look(address);
  // Something else was typed meanwhile.
  if (!seen || query.get("q") !== search.value) return;
  const fresh = seen.fresh.getElementById("people");
  if (!fresh) return location.assign(address);
  history.replaceState(null, "", address);
  ticked.clear();
  list(fresh);
}

search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(find, 200);
});

document.addEventListener("change", ({ target }) => {
  if (target.id === "all") for (const box of boxes()) tick(box, target.checked);
  else if (target.name === "user") tick(target, target.checked);
  else return;
  tell();
});

/** Moves the focus to another row. */
function move(step) {
  const all = links();
  const here = all.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = here < 0 ? 0 : Math.min(Math.max(here + step, 0), all.length - 1);
  all[next]?.focus();
  all[next]?.closest("tr").scrollIntoView({ block: "nearest" });
}

const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (target.matches("textarea, select, input:not([type=checkbox])")) {
    if (target !== search || !["ArrowDown", "Escape"].includes(key)) return;
    search.blur();
    if (key === "Escape") return;
  }
  if (key === "/") search.select();
  else if (key === "?") keys.showModal();
  else if (key in STEPS) move(STEPS[key]);
  else if (key === "x") document.activeElement.closest("#people tbody tr")?.querySelector("input").click();
  else return;
  event.preventDefault();
});

document.getElementById("keys-button").addEventListener("click", () => keys.showModal());
for (const box of boxes()) tick(box, box.checked);
tell();
follow();
