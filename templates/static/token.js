// Makes and revokes tokens without leaving the page.
import { call, complain, refresh } from "./hub.js";

const main = document.getElementById("tokens");
const tokens = `users/${encodeURIComponent(main.dataset.owner)}/tokens`;

/** The body of the request, from the form: scopes are ticked, typed, or left out for everything. */
function wanted(form) {
  const data = new FormData(form);
  const scopes = data.getAll("scopes").join(" ").split(/[\s,]+/).filter(Boolean);
  const body = { note: data.get("note").trim() || "Requested via token page", expires_in: Number(data.get("expires_in")) || null };
  return scopes.length ? { ...body, scopes } : body;
}

async function create(form) {
  const { token } = await call("POST", tokens, wanted(form));
  document.getElementById("token-result").textContent = token;
  const area = document.getElementById("token-area");
  area.hidden = false;
  area.scrollIntoView({ block: "nearest" });
  form.reset();
}

async function revoke(form) {
  await call("DELETE", `${tokens}/${encodeURIComponent(new FormData(form).get("token_id"))}`);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!main.contains(form)) return;
  event.preventDefault();
  complain(null);
  event.submitter.disabled = true;
  try {
    await (form.id === "request-token-form" ? create(form) : revoke(form));
    await refresh("token-lists");
  } catch (error) {
    complain(error);
  }
  event.submitter.disabled = false;
});
