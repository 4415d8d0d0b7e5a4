// On every page: theme choice, menus, dismissed announcements, copy buttons, and times that stay true.
import { page } from "./hub.js";

// Scripts written for JupyterHub's pages find what they know.
window.jhdata = {
  base_url: page.baseUrl,
  prefix: page.prefix,
  user: page.user,
  admin_access: page.admin === "true",
  xsrf_token: page.xsrf,
};

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it holds for this page only.
  }
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === document.documentElement.dataset.theme));
  }
}

function dismiss(announcement) {
  let gone = [];
  try {
    gone = JSON.parse(localStorage.getItem("specola-dismissed") || "[]");
  } catch {
    // Begin anew.
  }
  keep("specola-dismissed", JSON.stringify([...gone, announcement.dataset.announcement].slice(-50)));
  announcement.remove();
}

async function copy(button) {
  const source = button.dataset.copy
    ? document.getElementById(button.dataset.copy)
    : button.parentElement.querySelector("pre");
  const text = source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard: select, so that the keyboard can copy.
    getSelection().selectAllChildren(source);
    return;
  }
  const label = button.querySelector("span");
  const before = label.dataset.before ?? label.textContent;
  label.dataset.before = before;
  label.textContent = page.copied;
  setTimeout(() => (label.textContent = before), 2000);
}

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const theme = on("[data-theme-choice]");
  if (theme) {
    document.documentElement.dataset.theme = theme.dataset.themeChoice;
    keep("specola-theme", theme.dataset.themeChoice);
    showTheme();
  }
  if (on(".dismiss")) dismiss(on("[data-announcement]"));
  if (on("[data-copy]")) copy(on("[data-copy]"));
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// The thresholds are those of the server's own words.
const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat(document.documentElement.lang);

function tell() {
  for (const time of document.querySelectorAll("time[datetime]:not(.exact)")) {
    const when = new Date(time.dateTime);
    const seconds = Math.trunc((when - Date.now()) / 1000);
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    if (Math.abs(seconds) >= 10) time.textContent = relative.format(Math.trunc(seconds / size), unit);
    time.title = when.toLocaleString();
  }
}

// In the browser's own zone, which is named: a plan for a day is not told by how long until then.
const EXACT = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
for (const time of document.querySelectorAll("time.exact")) {
  time.title = time.textContent;
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, EXACT);
}

showTheme();
setInterval(tell, 30000);
