// Follows a start on the hub's event stream and draws it on the timeline. When it ends, the hub says where to go.
import { page } from "./hub.js";

const main = document.getElementById("spawn-pending");
const steps = [...main.querySelectorAll(".step")];
const log = document.getElementById("progress-log");
const message = document.getElementById("progress-message");
const bar = document.getElementById("progress-bar");
const known = new Set([...log.children].map((line) => line.textContent.trim().slice(9)));
let began = Date.now();

function reload(delay) {
  setTimeout(() => location.reload(), delay);
}

/** Marks the phase as under way, and those before it as done. */
function reach(phase, detail) {
  const index = steps.findIndex((step) => step.dataset.phase === phase);
  if (index < 0) return;
  steps.forEach((step, place) => {
    const state = place < index ? "done" : place === index ? "working" : "waiting";
    if (state === "working" && step.dataset.state !== "working") began = Date.now();
    step.dataset.state = state;
  });
  if (typeof detail === "string") steps[index].querySelector(".step-detail").textContent = detail;
}

function write(text) {
  message.textContent = text;
  if (known.has(text)) return;
  known.add(text);
  const line = document.createElement("span");
  line.className = "progress-log-event";
  line.textContent = `${new Date().toISOString().slice(11, 19)} ${text}\n`;
  log.append(line);
}

function tick() {
  const step = steps.find((step) => step.dataset.state === "working");
  if (!step) return;
  const seconds = Number(step.dataset.took || 0) + Math.round((Date.now() - began) / 1000);
  const text = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  step.querySelector(".took").textContent = text;
}

const url = new URL(main.dataset.progressUrl, location.href);
url.searchParams.set("_xsrf", page.xsrf);
const source = new EventSource(url);

source.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.message) write(event.message);
  if (event.phase) reach(event.phase, event.detail);
  if (Number.isFinite(event.progress)) {
    bar.setAttribute("aria-valuenow", event.progress);
    document.getElementById("sr-progress").textContent = `${event.progress}%`;
  }
  if (event.ready || event.failed) {
    source.close();
    for (const step of steps) {
      if (event.ready) step.dataset.state = "done";
      else if (step.dataset.state === "working") step.dataset.state = "failed";
    }
    reload(event.ready ? 0 : 800);
  }
};

// The browser connects again by itself, except when the hub answered that there is no stream: then the page is out of date.
source.onerror = () => source.readyState === EventSource.CLOSED && reload(2000);
setInterval(tick, 1000);
