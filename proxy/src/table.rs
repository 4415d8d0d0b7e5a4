//! The route table: longest prefix on segment boundaries, persistent by sharing.
//!
//! Keys (see [`crate::path`]) are hashed segment by segment, so one pass over a path yields the hash of
//! each of its prefixes. A clone shares all shards; a change copies one small shard and two short
//! lists of pointers, whatever the number of routes.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use crate::route::Route;

/// Width of both levels of pointers; 4096 shards hold some 25 routes each at 100 000 routes.
const FAN: usize = 64;
/// Deepest prefix, in segments. JupyterHub's have at most three.
const DEPTH: usize = 16;

type Shard = Vec<Entry>;

#[derive(Clone)]
struct Entry {
    hash: u64,
    key: Arc<[u8]>,
    route: Arc<Route>,
}

/// Routes by key. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Table {
    groups: Vec<Arc<Vec<Arc<Shard>>>>,
    hasher: RandomState,
    /// Number of routes of each depth.
    depths: Vec<usize>,
    /// Number of routes with a host.
    hosts: usize,
    length: usize,
}

impl Default for Table {
    fn default() -> Self {
        // All shards are one empty shard until something is put into them.
        let shard = Arc::new(Shard::new());
        let group = Arc::new(std::iter::repeat_n(shard, FAN).collect());
        Self {
            groups: std::iter::repeat_n(group, FAN).collect(),
            hasher: RandomState::new(),
            depths: vec![0; DEPTH + 1],
            hosts: 0,
            length: 0,
        }
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether any route has a host, so that lookups must say theirs.
    pub(crate) fn has_hosts(&self) -> bool {
        self.hosts > 0
    }

    /// Whether a prefix with this key can be held.
    pub(crate) fn fits(key: &[u8]) -> bool {
        depth(key) <= DEPTH
    }

    /// Adds or replaces; gives back what was there.
    pub(crate) fn put(&mut self, key: &[u8], route: Arc<Route>) -> Option<Arc<Route>> {
        let hash = self.hash(key);
        let shard = self.shard_mut(hash)?;
        if let Some(entry) = shard.iter_mut().find(|entry| entry.hash == hash && *entry.key == *key) {
            return Some(std::mem::replace(&mut entry.route, route));
        }
        shard.push(Entry { hash, key: key.into(), route });
        self.count(key, true);
        None
    }

    /// Removes; gives back what was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Arc<Route>> {
        self.get(key)?;
        let hash = self.hash(key);
        let shard = self.shard_mut(hash)?;
        let at = shard.iter().position(|entry| entry.hash == hash && *entry.key == *key)?;
        let entry = shard.swap_remove(at);
        self.count(key, false);
        Some(entry.route)
    }

    /// The route with exactly this key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Arc<Route>> {
        self.probe(self.hash(key), key)
    }

    /// The route with the longest key that is a prefix of `path` on segment boundaries.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&Arc<Route>> {
        let deepest = self.depths.iter().rposition(|&count| count > 0)?;
        let mut hashes = [(0_usize, 0_u64); DEPTH + 2];
        let mut known = 0;
        let mut hasher = self.hasher.build_hasher();
        let mut start = 0;
        for (index, slot) in hashes.iter_mut().take(deepest + 2).enumerate() {
            // The first piece is the host, or nothing for a path alone; the others begin with a slash.
            let rest = path.get(start..).unwrap_or_default();
            let skip = usize::from(index > 0);
            let length = rest.iter().skip(skip).position(|&byte| byte == b'/').map_or(rest.len(), |at| at + skip);
            hasher.write(rest.get(..length).unwrap_or_default());
            start += length;
            *slot = (start, hasher.finish());
            known = index + 1;
            if start >= path.len() {
                break;
            }
        }
        let known = hashes.get(..known).unwrap_or_default();
        known.iter().rev().find_map(|&(end, hash)| self.probe(hash, path.get(..end)?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.groups.iter().flat_map(|group| group.iter()).flat_map(|shard| shard.iter()).map(|entry| &entry.route)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let mut rest = key;
        let mut skip = 0;
        loop {
            let length = rest.iter().skip(skip).position(|&byte| byte == b'/').map_or(rest.len(), |at| at + skip);
            let (piece, after) = rest.split_at(length);
            hasher.write(piece);
            if after.is_empty() {
                return hasher.finish();
            }
            (rest, skip) = (after, 1);
        }
    }

    fn probe(&self, hash: u64, key: &[u8]) -> Option<&Arc<Route>> {
        let (group, shard) = place(hash);
        let shard = self.groups.get(group)?.get(shard)?;
        shard.iter().find(|entry| entry.hash == hash && *entry.key == *key).map(|entry| &entry.route)
    }

    fn shard_mut(&mut self, hash: u64) -> Option<&mut Shard> {
        let (group, shard) = place(hash);
        let group = Arc::make_mut(self.groups.get_mut(group)?);
        Some(Arc::make_mut(group.get_mut(shard)?))
    }

    fn count(&mut self, key: &[u8], added: bool) {
        let change = |count: &mut usize| *count = if added { *count + 1 } else { count.saturating_sub(1) };
        change(&mut self.length);
        if let Some(count) = self.depths.get_mut(depth(key)) {
            change(count);
        }
        if !key.is_empty() && !key.starts_with(b"/") {
            change(&mut self.hosts);
        }
    }
}

fn depth(key: &[u8]) -> usize {
    key.iter().filter(|&&byte| byte == b'/').count()
}

fn place(hash: u64) -> (usize, usize) {
    let low = usize::try_from(hash & 0xFFFF).unwrap_or(0);
    (low % FAN, low / FAN % FAN)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::path::{key, prefix_key};

    fn table(prefixes: &[&str]) -> Table {
        let mut table = Table::default();
        for prefix in prefixes {
            table.put(&prefix_key(prefix).unwrap(), Arc::new(Route::sample(prefix)));
        }
        table
    }

    fn found(table: &Table, path: &str) -> Option<String> {
        table.find(&key(path).unwrap()).map(|route| route.prefix().to_owned())
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_wins() {
        let table = table(&["/", "/user/alice/", "/user/alice/named/", "/user/b%40r/", "/services/x/"]);
        let cases = [
            ("/", "/"),
            ("/user/alice", "/user/alice/"),
            ("/user/alice/", "/user/alice/"),
            ("/user/alice/lab/tree/a/b/c", "/user/alice/"),
            ("/user/alice/named/x", "/user/alice/named/"),
            ("/user/alicex", "/"),
            ("/user/alice;v=1/", "/"),
            ("/user/Alice/", "/"),
            ("/user/b@r/x", "/user/b%40r/"),
            ("/user/b%40r/x", "/user/b%40r/"),
            ("/user/alice%2Fnamed/x", "/"),
            ("/user%2Falice/x", "/"),
            ("//user/alice/x", "/"),
            ("/user//alice/x", "/"),
            ("/services/x", "/services/x/"),
            ("/services", "/"),
        ];
        for (path, prefix) in cases {
            assert_eq!(found(&table, path).as_deref(), Some(prefix), "{path}");
        }
    }

    #[test]
    fn without_a_root_route_nothing_is_found_elsewhere() {
        let table = table(&["/user/alice/"]);
        assert_eq!(found(&table, "/hub/home"), None);
        assert_eq!(found(&table, "/"), None);
        assert_eq!(found(&Table::default(), "/"), None);
    }

    #[test]
    fn a_host_is_the_first_part_of_a_key() {
        let table = table(&["/", "ex.com/", "ex.com/sub/"]);
        assert!(table.has_hosts());
        let find = |path: &str| table.find(path.as_bytes()).map(|route| route.prefix().to_owned());
        assert_eq!(find("ex.com/sub/x").as_deref(), Some("ex.com/sub/"));
        assert_eq!(find("ex.com/other").as_deref(), Some("ex.com/"));
        assert_eq!(find("other.com/sub/"), None);
    }

    #[test]
    fn item_14_a_hundred_thousand_routes_make_nothing_slower() {
        fn best(mut act: impl FnMut()) -> Duration {
            let times = (0..30).map(|_| {
                let begin = Instant::now();
                act();
                begin.elapsed()
            });
            times.min().unwrap_or_default()
        }
        let route = Arc::new(Route::sample("/user/u1/"));
        let measured = [10, 100_000].map(|count| {
            let mut table = Table::default();
            for number in 0..count {
                table.put(format!("/user/u{number}").as_bytes(), Arc::clone(&route));
            }
            assert_eq!(table.len(), count);
            let paths: Vec<String> = (0..1000).map(|at| format!("/user/u{}/lab/tree", at * count / 1000)).collect();
            let looking = best(|| assert!(paths.iter().all(|path| table.find(path.as_bytes()).is_some())));
            // As the proxy changes it: readers go on with the one before.
            let changing = best(|| {
                for number in 0..100 {
                    let mut next = table.clone();
                    next.put(format!("/user/new{number}").as_bytes(), Arc::clone(&route));
                    next.remove(format!("/user/new{number}").as_bytes());
                    table = next;
                }
            });
            (looking, changing)
        });
        let [(few, little), (many, much)] = measured;
        // A larger table is further from the processor; one that is searched through would take ten thousand times as long.
        assert!(many < few * 6, "lookups took {few:?}, and take {many:?}");
        assert!(much < little * 10, "changes took {little:?}, and take {much:?}");
    }

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut table = table(&["/user/alice/"]);
        let before = table.clone();
        table.put(b"/user/bob", Arc::new(Route::sample("/user/bob/")));
        table.remove(b"/user/alice");
        assert_eq!(found(&before, "/user/alice/").as_deref(), Some("/user/alice/"));
        assert_eq!(found(&before, "/user/bob/"), None);
        assert_eq!(found(&table, "/user/alice/"), None);
        assert_eq!(found(&table, "/user/bob/").as_deref(), Some("/user/bob/"));
        assert_eq!((before.len(), table.len()), (1, 1));
        assert_eq!(table.iter().count(), 1);
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut table = table(&["/user/alice/"]);
        assert!(table.remove(b"/user/bob").is_none());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn lookups_agree_with_a_plain_list_of_prefixes() {
        let words = ["a", "b", "ab", "é", ""];
        let pick = |number: usize| words[number % words.len()];
        let path = |seed: usize| match seed % 4 {
            0 => "/".to_owned(),
            1 => format!("/{}", pick(seed / 4)),
            2 => format!("/{}/{}", pick(seed / 4), pick(seed / 20)),
            _ => format!("/{}/{}/{}", pick(seed / 4), pick(seed / 20), pick(seed / 100)),
        };
        let mut table = Table::default();
        let mut plain: Vec<Vec<u8>> = Vec::new();
        for seed in 0..2000 {
            let prefix = path(seed * 7);
            let key = prefix_key(&prefix).unwrap();
            if seed % 3 == 0 {
                assert_eq!(table.remove(&key).is_some(), plain.contains(&key), "{prefix}");
                plain.retain(|known| *known != key);
            } else {
                table.put(&key, Arc::new(Route::sample(&prefix)));
                plain.retain(|known| *known != key);
                plain.push(key);
            }
            let asked = path(seed * 13 + 5).into_bytes();
            let is_prefix =
                |key: &&Vec<u8>| asked.starts_with(key) && matches!(asked.get(key.len()), None | Some(b'/'));
            let expected = plain.iter().filter(is_prefix).max_by_key(|key| key.len());
            let found = table.find(&asked).map(|route| prefix_key(&route.prefix()).unwrap());
            assert_eq!(found.as_ref(), expected, "{}", String::from_utf8_lossy(&asked));
            assert_eq!(table.len(), plain.len());
        }
    }
}
