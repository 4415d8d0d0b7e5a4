// What the pages' scripts share: the REST API, messages, and looking at the page again. Does nothing by itself.

export const page = document.body.dataset;

/** The path of a user's server in the API; the default server has an empty name. */
export function serverPath(user, name) {
  const owner = `users/${encodeURIComponent(user)}`;
  return name ? `${owner}/servers/${encodeURIComponent(name)}` : `${owner}/server`;
}

/** Calls the REST API. Gives the parsed answer or null; throws an Error with a sentence for people. */
export async function call(method, path, body) {
  const answer = await fetch(`${page.baseUrl}api/${path}`, {
    method,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-XSRFToken": page.xsrf },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    // An answer that is no JSON says nothing.
  }
  if (!answer.ok) throw new Error(parsed?.message || `${answer.status} ${answer.statusText}`);
  return parsed;
}

/** Shows above the page why something failed; without an error, takes the message away. */
export function complain(error) {
  const place = document.getElementById("messages");
  place.replaceChildren();
  if (!error) return;
  const line = document.createElement("p");
  line.className = "notice failed";
  line.textContent = page.failed.replace("{}", () => error.message || String(error));
  place.append(line);
  place.scrollIntoView({ block: "nearest" });
}

/** Fetches this page again, or another. Gives its document, or null when it cannot be had now. */
export async function look(address = location.href) {
  try {
    const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html" } });
    if (!answer.ok && answer.status >= 500) return null;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { fresh, url: answer.url };
  } catch {
    return null;
  }
}

/** Puts the fresh state of one element in its place; gives false if the page has become another one. */
export async function refresh(id) {
  const seen = await look();
  if (!seen) return true;
  const [old, fresh] = [document.getElementById(id), seen.fresh.getElementById(id)];
  if (!fresh || !old || seen.fresh.body.dataset.page !== page.page) return false;
  if (old.innerHTML !== fresh.innerHTML) {
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.replaceWith(document.adoptNode(fresh));
    if (focused) document.getElementById(focused)?.focus();
  }
  return true;
}
