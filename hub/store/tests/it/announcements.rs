//! Announcements are kept as they were written.

use crate::harness::{Database, at, both};
use hub_core::announcement::{Announcement, Severity};

fn announcement(text: &str) -> Announcement {
    Announcement {
        text: text.to_owned(),
        severity: Severity::Warning,
        from: at(0),
        until: Some(at(100)),
        pages: vec!["home".to_owned()],
        groups: vec!["a \"quoted\" group".to_owned(), "é".to_owned()],
    }
}

async fn an_announcement_is_added_replaced_and_deleted(Database { store, .. }: Database) {
    let first = store.add_announcement(&announcement("one"), "root", at(1)).await.unwrap().unwrap();
    let second = store.add_announcement(&announcement("two\nlines"), "root", at(2)).await.unwrap().unwrap();
    let kept = store.announcement(second).await.unwrap().unwrap();
    assert_eq!((kept.announcement, kept.author.as_str(), kept.name), (announcement("two\nlines"), "root", None));
    let changed = Announcement { until: None, groups: Vec::new(), ..announcement("changed") };
    assert!(store.set_announcement(first, &changed, "ann", at(3)).await.unwrap());
    let all = store.list_announcements().await.unwrap();
    let told: Vec<_> = all.iter().map(|kept| (kept.id, kept.announcement.text.as_str(), kept.changed_at)).collect();
    assert_eq!(told, [(first, "changed", at(3)), (second, "two\nlines", at(2))]);
    assert_eq!(all[0].announcement, changed);
    assert!(store.delete_announcement(second).await.unwrap());
    assert!(!store.delete_announcement(second).await.unwrap());
    assert!(!store.set_announcement(second, &changed, "ann", at(4)).await.unwrap());
    assert_eq!(store.announcement(second).await.unwrap(), None);
}

async fn of_a_name_there_is_one(Database { store, .. }: Database) {
    for text in ["first", "second"] {
        store.put_announcement("service", &announcement(text), "root", at(1)).await.unwrap();
    }
    let all = store.list_announcements().await.unwrap();
    assert_eq!((all.len(), all[0].announcement.text.as_str()), (1, "second"));
    assert_eq!(all[0].name.as_deref(), Some("service"));
    assert!(store.delete_named_announcement("service").await.unwrap());
    assert!(!store.delete_named_announcement("service").await.unwrap());
}

async fn there_is_an_end_to_their_number_and_to_their_time(Database { store, .. }: Database) {
    let mut added = 0;
    while store.add_announcement(&announcement("again"), "root", at(1)).await.unwrap().is_some() {
        added += 1;
        assert!(added < 1000, "there is no end");
    }
    assert_eq!(added, 200);
    assert_eq!(store.purge_announcements(at(100)).await.unwrap(), 0);
    assert_eq!(store.purge_announcements(at(101)).await.unwrap(), 200);
}

both!(
    an_announcement_is_added_replaced_and_deleted,
    of_a_name_there_is_one,
    there_is_an_end_to_their_number_and_to_their_time,
);
