// The rule for names of images of one's own, as the hub has it (`hub/core/src/policy/image.rs`): told while one types. The hub
// judges, and knows of images that nobody is told of, because a policy denies them.

const HUB = "docker.io";
const HOST = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const PART = /^[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const LONGEST = 255;

const isRegistry = (first) => first === "localhost" || /[.:A-Z]/.test(first);
const isPort = (port) => /^\+?[0-9]+$/.test(port) && Number(port) > 0 && Number(port) <= 65535;
const lower = (text) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

// The parts before and after a mark; without the mark there is nothing after it.
function cut(text, at) {
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

// Name and digest of a reference, or the word for what is wrong with it.
function read(text) {
  const [whole, digest] = cut(text, text.indexOf("@"));
  const colon = whole.lastIndexOf(":");
  // A colon after the last slash begins a tag; one before it belongs to a port.
  const [name, tag] = cut(whole, whole.includes("/", colon) ? -1 : colon);
  const [first, rest] = cut(name, name.indexOf("/"));
  const named = rest !== null && isRegistry(first);
  const written = named ? lower(first) : HUB;
  const registry = written === "index.docker.io" ? HUB : written;
  const repository = named ? rest : name;
  const [host, port] = cut(registry, registry.indexOf(":"));
  if (!HOST.test(host) || (port !== null && !isPort(port))) return "registry";
  if (new TextEncoder().encode(name).length > LONGEST) return "long";
  if (!repository.split("/").every((part) => PART.test(part))) return "repository";
  if (tag !== null && !TAG.test(tag)) return "tag";
  if (digest !== null && !DIGEST.test(digest)) return "digest";
  const library = registry === HUB && !repository.includes("/") ? "library/" : "";
  return { name: `${registry}/${library}${repository}`, digest };
}

function admits(allowance, name) {
  return allowance.registries.some((written) => {
    const prefix = written.replace(/\/+$/, "");
    return written === "*" || name === prefix || name.startsWith(`${prefix}/`);
  });
}

// The sentence for what is wrong with an image of one's own, or null.
export function problem(typed, { listed, from, told }) {
  const text = typed.trim();
  if (!text) return told.empty;
  if (listed.includes(text)) return null;
  const image = read(text);
  if (typeof image === "string") return told[image];
  const admitting = from.filter((allowance) => admits(allowance, image.name));
  if (!admitting.length) return told.elsewhere;
  const needsDigest = admitting.every((allowance) => allowance.digest);
  return needsDigest && image.digest === null ? told.undigested : null;
}
