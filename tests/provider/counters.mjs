// What was asked of the provider, and how often.

const KEPT = 2000;

const zero = () => ({ logins: 0, tokens: 0, refreshes: 0, refused_refreshes: 0, refreshes_under_way: 0, most_refreshes_at_once: 0 });

export const requests = [];
let byEndpoint = {};
let everybody = zero();
let byUser = {};
let byClient = {};

const counted = (user, client) => [
  everybody,
  ...(user ? [byUser[user] ??= zero()] : []),
  ...(client ? [byClient[client] ??= zero()] : []),
];

export function asked(request) {
  byEndpoint[request.endpoint] = (byEndpoint[request.endpoint] ?? 0) + 1;
  requests.push(request);
  if (requests.length > KEPT) requests.shift();
}

export function loggedIn(user, client) {
  for (const count of counted(user, client)) count.logins += 1;
}

export function issued({ user, client }, refresh) {
  for (const count of counted(user, client)) {
    count.tokens += 1;
    if (refresh) count.refreshes += 1;
  }
}

export function refused(user, client) {
  for (const count of counted(user, client)) count.refused_refreshes += 1;
}

// Counts a refresh as under way until the function returned is called.
export function refreshing(user, client) {
  const counts = counted(user, client);
  for (const count of counts) {
    count.refreshes_under_way += 1;
    count.most_refreshes_at_once = Math.max(count.most_refreshes_at_once, count.refreshes_under_way);
  }
  return () => counts.forEach((count) => { count.refreshes_under_way -= 1; });
}

export const told = () => ({ requests: byEndpoint, ...everybody, users: byUser, clients: byClient });

export function forget() {
  requests.length = 0;
  byEndpoint = {};
  everybody = zero();
  byUser = {};
  byClient = {};
}
