//! Usage over time: what was found is gathered into spans.

use crate::harness::{Database, both};
use hub_core::clock::Time;
use hub_store::{Usage, UsageOf};

/// An instant, in seconds since 1970.
fn when(seconds: i64) -> Time {
    Time::from_timestamp(seconds, 0).unwrap()
}

fn servers(servers: i64) -> Usage {
    Usage { servers, millicores: servers * 500, memory: servers << 40, gpus: servers % 2 }
}

fn group(name: &str) -> UsageOf {
    UsageOf::Group(name.to_owned())
}

async fn looks_are_gathered_into_sums_and_peaks(Database { store, .. }: Database) {
    store.record_usage(when(1000), &[(group("a"), servers(2)), (UsageOf::Nobody, servers(4))]).await.unwrap();
    store.record_usage(when(1050), &[(group("a"), servers(4))]).await.unwrap();
    store.record_usage(when(1150), &[]).await.unwrap();
    let found = store.usage(when(1000), 100).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|share| (share.at, share.of.clone(), share.sum.servers, share.looks, share.most)).collect();
    let expected = [
        (when(1000), group("a"), 6, 2, Usage { gpus: 0, ..servers(4) }),
        (when(1000), UsageOf::Nobody, 4, 2, servers(4)),
        (when(1100), UsageOf::Nobody, 0, 1, servers(0)),
    ];
    assert_eq!(told, expected);
    assert_eq!((found[0].sum.millicores, found[0].sum.memory), (3000, 6 << 40));
    assert_eq!(store.usage(when(1001), 1).await.unwrap().len(), 2, "looks of before do not count");
}

async fn a_look_is_recorded_once_a_second_and_goes_in_time(Database { store, .. }: Database) {
    store.record_usage(when(1000), &[(group("it's"), servers(2)), (UsageOf::Others, servers(1))]).await.unwrap();
    store.record_usage(when(1000), &[(group("it's"), servers(3))]).await.unwrap();
    let found = store.usage(when(0), 3600).await.unwrap();
    assert_eq!(found.iter().map(|share| share.sum.servers).collect::<Vec<_>>(), [3]);
    assert_eq!(store.purge_usage(when(1000)).await.unwrap(), 0);
    assert_eq!(store.purge_usage(when(1001)).await.unwrap(), 1);
    assert_eq!(store.usage(when(0), 0).await.unwrap(), []);
}

both!(looks_are_gathered_into_sums_and_peaks, a_look_is_recorded_once_a_second_and_goes_in_time);
