//! Lists of users: filters, order, pages.

use crate::harness::{Database, at, both, server, user, want_running};
use hub_store::{Only, Sort, SortKey, Store, UserQuery, UserState};

async fn names(store: &Store, query: UserQuery) -> (Vec<String>, i64) {
    let page = store.list_users(&query).await.unwrap();
    (page.items.into_iter().map(|user| user.name).collect(), page.total)
}

async fn people(store: &Store) {
    for name in ["ann", "bea", "Carl", "d_d", "dxd"] {
        user(store, name).await;
    }
}

async fn pages_tell_the_length_of_the_whole(Database { store, .. }: Database) {
    people(&store).await;
    let page = |offset, limit| UserQuery { offset, limit, ..UserQuery::default() };
    assert_eq!(names(&store, page(0, Some(2))).await, (vec!["ann".into(), "bea".into()], 5));
    assert_eq!(names(&store, page(4, Some(2))).await, (vec!["dxd".into()], 5));
    assert_eq!(names(&store, page(9, Some(2))).await, (vec![], 5));
    assert_eq!(names(&store, page(3, None)).await, (vec!["d_d".into(), "dxd".into()], 5));
    assert_eq!(names(&store, page(0, Some(0))).await, (vec![], 5));
}

async fn a_name_filter_is_literal_and_in_any_case(Database { store, .. }: Database) {
    people(&store).await;
    let filter = |text: &str| UserQuery { name_filter: Some(text.to_owned()), ..UserQuery::default() };
    assert_eq!(names(&store, filter("A")).await.0, ["ann", "bea", "Carl"]);
    assert_eq!(names(&store, filter("d_")).await.0, ["d_d"]);
    assert_eq!(names(&store, filter("%")).await.0, [""; 0]);
    assert_eq!(names(&store, filter("!'; DROP TABLE users")).await.0, [""; 0]);
    assert_eq!(names(&store, filter("")).await.1, 5);
}

async fn users_without_activity_come_first_upwards_and_last_downwards(Database { store, .. }: Database) {
    people(&store).await;
    for (name, seconds) in [("bea", 30), ("ann", 20), ("dxd", 10)] {
        let id = store.user(name).await.unwrap().unwrap().id;
        store.touch_user(id, at(seconds)).await.unwrap();
    }
    let by = |key, descending| UserQuery { sort: Sort { key, descending }, ..UserQuery::default() };
    assert_eq!(names(&store, by(SortKey::LastActivity, true)).await.0, ["bea", "ann", "dxd", "Carl", "d_d"]);
    assert_eq!(names(&store, by(SortKey::LastActivity, false)).await.0, ["Carl", "d_d", "dxd", "ann", "bea"]);
    assert_eq!(names(&store, by(SortKey::Id, true)).await.0, ["dxd", "d_d", "Carl", "bea", "ann"]);
    assert_eq!(names(&store, by(SortKey::Name, true)).await.0, ["dxd", "d_d", "bea", "ann", "Carl"]);
    assert_eq!(names(&store, by(SortKey::Name, false)).await.0, ["Carl", "ann", "bea", "d_d", "dxd"]);
}

async fn a_list_can_be_held_to_users_and_groups(Database { store, .. }: Database) {
    people(&store).await;
    let group = store.create_group("staff", &serde_json::json!({})).await.unwrap();
    let ann = store.user("ann").await.unwrap().unwrap().id;
    store.add_members(group.id, &[ann]).await.unwrap();
    let only = |users: &[&str], groups: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        UserQuery { only: Some(Only { users: texts(users), groups: texts(groups) }), ..UserQuery::default() }
    };
    assert_eq!(names(&store, only(&["bea"], &["staff"])).await, (vec!["ann".into(), "bea".into()], 2));
    assert_eq!(names(&store, only(&["ann"], &["staff"])).await, (vec!["ann".into()], 1));
    assert_eq!(names(&store, only(&[], &[])).await, (vec![], 0));
    assert_eq!(names(&store, only(&["' OR 1=1 --", "\"", "\\"], &["$1"])).await, (vec![], 0));
}

async fn a_user_is_active_from_the_wish_on_and_ready_when_a_server_is(Database { store, .. }: Database) {
    people(&store).await;
    let ann = store.user("ann").await.unwrap().unwrap().id;
    server(&store, ann, "spare").await;
    let lab = server(&store, ann, "").await;
    let state = |state| UserQuery { state: Some(state), ..UserQuery::default() };
    assert_eq!(names(&store, state(UserState::Active)).await, (vec![], 0));
    assert_eq!(names(&store, state(UserState::Inactive)).await.1, 5);
    want_running(&store, lab.id).await;
    assert_eq!(names(&store, state(UserState::Active)).await, (vec!["ann".into()], 1));
    assert_eq!(names(&store, state(UserState::Ready)).await, (vec![], 0));
    assert_eq!(names(&store, state(UserState::Inactive)).await.0, ["bea", "Carl", "d_d", "dxd"]);
    crate::servers::bring_up(&store, lab.id).await;
    assert_eq!(names(&store, state(UserState::Ready)).await, (vec!["ann".into()], 1));
}

async fn a_list_can_be_held_to_administrators_members_and_days(Database { store, .. }: Database) {
    people(&store).await;
    let ann = store.user("ann").await.unwrap().unwrap().id;
    store.set_admin(ann, true).await.unwrap();
    let admins = UserQuery { admins: true, ..UserQuery::default() };
    assert_eq!(names(&store, admins).await, (vec!["ann".into()], 1));
    let group = store.create_group("o'staff", &serde_json::json!({})).await.unwrap();
    let bea = store.user("bea").await.unwrap().unwrap().id;
    store.add_members(group.id, &[ann, bea]).await.unwrap();
    let of = |group: &str| UserQuery { group: Some(group.to_owned()), ..UserQuery::default() };
    assert_eq!(names(&store, of("o'staff")).await, (vec!["ann".into(), "bea".into()], 2));
    assert_eq!(names(&store, of("staff")).await, (vec![], 0));
    let both = UserQuery { admins: true, name_filter: Some("b".into()), ..of("o'staff") };
    assert_eq!(names(&store, both).await, (vec![], 0), "all conditions hold together");
    store.create_user("eve", false, "cookie-of-eve", at(-5)).await.unwrap();
    let by = |descending| UserQuery { sort: Sort { key: SortKey::Created, descending }, ..UserQuery::default() };
    assert_eq!(names(&store, by(false)).await.0[0], "eve");
    assert_eq!(names(&store, by(true)).await.0[5], "eve");
    let named = store.users_named(&["dxd".into(), "ann".into(), "nobody".into(), "' OR 1=1".into()]).await.unwrap();
    assert_eq!(named.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ann", "dxd"]);
}

async fn idle_and_failed_servers_find_their_people(Database { store, .. }: Database) {
    people(&store).await;
    let id = async |name: &str| store.user(name).await.unwrap().unwrap().id;
    let (ann, bea, carl) = (id("ann").await, id("bea").await, id("Carl").await);
    for user in [ann, bea] {
        let lab = server(&store, user, "").await;
        want_running(&store, lab.id).await;
        crate::servers::bring_up(&store, lab.id).await;
        let used = if user == ann { 100 } else { 5000 };
        store.touch_server(lab.id, at(used)).await.unwrap();
    }
    let idle = |since| UserQuery { idle_since: Some(at(since)), ..UserQuery::default() };
    assert_eq!(names(&store, idle(99)).await, (vec![], 0));
    assert_eq!(names(&store, idle(100)).await, (vec!["ann".into()], 1));
    assert_eq!(names(&store, idle(6000)).await.1, 2);
    let failed = UserQuery { failed: true, ..UserQuery::default() };
    assert_eq!(names(&store, failed.clone()).await, (vec![], 0));
    let lab = server(&store, carl, "").await;
    want_running(&store, lab.id).await;
    crate::servers::fail(&store, lab.id).await;
    assert_eq!(names(&store, failed).await, (vec!["Carl".into()], 1));
    assert_eq!(store.count_active_servers().await.unwrap(), 2);
}

both!(
    a_list_can_be_held_to_administrators_members_and_days,
    idle_and_failed_servers_find_their_people,
    pages_tell_the_length_of_the_whole,
    a_name_filter_is_literal_and_in_any_case,
    users_without_activity_come_first_upwards_and_last_downwards,
    a_list_can_be_held_to_users_and_groups,
    a_user_is_active_from_the_wish_on_and_ready_when_a_server_is,
);
