use super::*;
use chrono::DateTime;
use hub_store::{Holder, OpenOptions, ServiceSpec};
use tempfile::TempDir;

struct House {
    store: Store,
    now: Time,
    config: Config,
    _folder: TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let store = Store::open(&url, OpenOptions::new(now)).await.unwrap();
        Self { store, now, config: Config::default(), _folder: folder }
    }

    async fn start(&self) {
        self.start_with(&Managed::default()).await;
    }

    async fn start_with(&self, managed: &Managed) {
        sync(&self.store, &self.config, managed, self.now).await.unwrap();
    }

    async fn user(&self, name: &str) -> User {
        match self.store.user(name).await.unwrap() {
            Some(user) => user,
            None => self.store.create_user(name, false, &format!("cookie of {name}"), self.now).await.unwrap(),
        }
    }

    async fn roles(&self, name: &str) -> Vec<String> {
        let id = self.user(name).await.id;
        let mut own = self.store.own_roles_of_users(&[id]).await.unwrap().remove(&id).unwrap_or_default();
        own.sort();
        own
    }

    async fn give(&self, name: &str, role: &str) {
        let (user, role) = (self.user(name).await.id, self.store.role(role).await.unwrap().unwrap().id);
        self.store.assign_role(Holder::User(user), role).await.unwrap();
    }

    async fn login(&self, name: &str, roles: &[RoleConfig]) -> anyhow::Result<()> {
        let user = self.user(name).await;
        let (catalogue, config) = (Catalogue::default(), &self.config.hub);
        sync_person(&Roles { store: &self.store, catalogue: &catalogue, config }, &user, roles, false).await
    }
}

fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|&text| text.to_owned()).collect())
}

fn role(name: &str, scopes: &[&str]) -> RoleConfig {
    RoleConfig { name: name.to_owned(), scopes: texts(scopes), ..RoleConfig::default() }
}

#[tokio::test]
async fn what_the_configuration_names_is_made_and_given() {
    let mut house = House::new().await;
    house.config.hub.extra_user_scopes = vec!["shares!user".to_owned()];
    let members = GroupConfig { users: vec!["ann".into(), "no/body".into()], ..GroupConfig::default() };
    house.config.hub.load_groups.insert("physics".into(), members);
    let watchers = role("watchers", &["list:users"]);
    let (users, groups) = (texts(&["Bob"]), texts(&["physics"]));
    house.config.hub.load_roles.push(RoleConfig { users, groups, services: texts(&["nobody's"]), ..watchers });
    // A second start finds everything as it is.
    for _ in 0..2 {
        house.start().await;
        for name in ["ann", "bob"] {
            let roles = house.store.roles_of_user(house.user(name).await.id).await.unwrap();
            let scopes: Vec<&str> = roles.iter().flat_map(|role| &role.scopes).map(String::as_str).collect();
            assert!(scopes.contains(&"list:users") && scopes.contains(&"shares!user"), "{name}: {scopes:?}");
        }
    }
    assert!(house.store.user("no/body").await.unwrap().is_none());
}

#[tokio::test]
async fn lists_are_exact_and_lists_left_out_are_empty() {
    let mut house = House::new().await;
    house.config.hub.load_roles = vec![
        RoleConfig { users: texts(&["ann"]), ..role("listed", &["list:users"]) },
        role("unlisted", &["list:groups"]),
    ];
    house.start().await;
    house.give("bob", "listed").await;
    house.give("bob", "unlisted").await;
    house.start().await;
    assert_eq!(house.roles("ann").await, ["listed", "user"]);
    assert_eq!(house.roles("bob").await, ["user"]);
}

#[tokio::test]
async fn a_role_that_is_not_named_any_more_is_deleted_but_no_managed_or_default_one() {
    let mut house = House::new().await;
    house.config.hub.load_roles = vec![role("mine", &["list:users"])];
    house.start().await;
    house.login("ann", &[role("theirs", &["list:groups"])]).await.unwrap();
    house.config.hub.load_roles.clear();
    house.start().await;
    let names: Vec<String> = house.store.list_roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["user", "admin", "server", "token", "theirs"]);
    house.start_with(&Managed { reset: true, ..Managed::default() }).await;
    assert_eq!(house.store.role("theirs").await.unwrap(), None);
    assert!(house.roles("ann").await.is_empty());
}

#[tokio::test]
async fn a_default_role_may_be_redefined_in_part_and_goes_back() {
    let mut house = House::new().await;
    let scopes = async |house: &House, name: &str| house.store.role(name).await.unwrap().unwrap().scopes;
    house.config.hub.extra_user_scopes = vec!["shares!user".to_owned()];
    house.config.hub.load_roles = vec![
        RoleConfig { scopes: None, ..role("user", &[]) },
        role("server", &["users:activity!user"]),
        role("token", &["(no_scope)"]),
    ];
    house.user("ann").await;
    house.start().await;
    assert_eq!(scopes(&house, "user").await, ["self", "shares!user"]);
    assert_eq!(scopes(&house, "server").await, ["users:activity!user"]);
    assert_eq!(house.roles("ann").await, ["user"], "nobody loses it for want of a list");
    house.config.hub.load_roles = vec![role("user", &["read:hub"])];
    house.start().await;
    assert_eq!(scopes(&house, "user").await, ["read:hub"], "its own scopes, and no extra ones");
    house.config.hub.load_roles.clear();
    house.start().await;
    assert_eq!(scopes(&house, "server").await, role::SERVER.scopes);
    assert_eq!(scopes(&house, "token").await, ["inherit"]);
}

#[tokio::test]
async fn the_role_admin_and_the_flag_follow_each_other() {
    let mut house = House::new().await;
    let spec = ServiceSpec { name: "robot".to_owned(), timeout: 30, ..ServiceSpec::default() };
    let service = house.store.sync_service(&spec).await.unwrap();
    house.store.set_admin(house.user("ann").await.id, true).await.unwrap();
    house.user("bob").await;
    house.start().await;
    assert!(house.user("ann").await.admin, "without a list, as the database has it");
    let listed = RoleConfig { users: texts(&["bob"]), services: texts(&["robot"]), ..RoleConfig::default() };
    house.config.hub.load_roles = vec![RoleConfig { name: "admin".to_owned(), ..listed }];
    house.start().await;
    assert_eq!((house.user("ann").await.admin, house.user("bob").await.admin), (false, true));
    assert_eq!((house.roles("ann").await.len(), house.roles("bob").await.len()), (1, 2));
    assert!(house.store.service_by_id(service).await.unwrap().unwrap().spec.admin);
    house.config.auth.admin_users = ["cleo".to_owned()].into();
    house.start().await;
    assert!(house.user("cleo").await.admin && house.user("bob").await.admin, "both lists together");
    house.config.hub.load_roles[0].services = None;
    house.start().await;
    assert!(house.store.service_by_id(service).await.unwrap().unwrap().spec.admin, "no list, no change");
}

#[tokio::test]
async fn at_a_login_the_managed_roles_are_the_persons_own() {
    let mut house = House::new().await;
    house.config.hub.load_roles = vec![role("mine", &["list:users"])];
    house.start().await;
    house.store.create_group("staff", &json!({})).await.unwrap();
    house.give("ann", "mine").await;
    let helper = RoleConfig { groups: texts(&["staff", "nowhere"]), ..role("helper", &["read:users"]) };
    house.login("ann", std::slice::from_ref(&helper)).await.unwrap();
    assert_eq!(house.roles("ann").await, ["helper"], "all others are taken away");
    let found = house.store.role("helper").await.unwrap().unwrap();
    assert!(found.managed_by_auth && house.store.holders_of_role(found.id).await.unwrap().len() == 2);
    // Without scopes it is as it was.
    house.login("ann", &[RoleConfig { groups: texts(&[]), scopes: None, ..helper }]).await.unwrap();
    assert_eq!(house.store.role("helper").await.unwrap().unwrap().scopes, ["read:users"]);
    house.login("ann", &[role("mine", &["list:users"])]).await.unwrap();
    assert_eq!(house.store.role("helper").await.unwrap(), None, "nobody has it any more");
    house.login("ann", &[]).await.unwrap();
    assert!(house.roles("ann").await.is_empty());
    assert!(house.store.role("mine").await.unwrap().is_some(), "the configuration's own stays");
}

#[tokio::test]
async fn an_authenticator_cannot_give_what_no_role_may_be() {
    let house = House::new().await;
    house.give("ann", "user").await;
    for bad in [role("No", &[]), role("helper", &["read:user"]), role("admin", &["read:hub"])] {
        assert!(house.login("ann", &[role("good", &["read:hub"]), bad]).await.is_err());
        assert_eq!(house.roles("ann").await, ["user"], "nothing has changed");
        assert_eq!(house.store.role("good").await.unwrap(), None);
    }
    house.login("ann", &[RoleConfig { scopes: None, ..role("admin", &[]) }]).await.unwrap();
    assert!(house.user("ann").await.admin);
    house.login("ann", &[]).await.unwrap();
    assert!(!house.user("ann").await.admin, "with the role goes the flag");
}

#[tokio::test]
async fn managed_roles_of_a_start_are_given_and_kept_through_a_reset() {
    let house = House::new().await;
    let listed = RoleConfig { users: texts(&["ann"]), ..role("listed", &["read:hub"]) };
    let mut managed = Managed { roles: vec![listed, role("open", &["read:users"])], reset: false };
    house.start_with(&managed).await;
    house.login("bob", &[role("open", &["read:users"])]).await.unwrap();
    house.login("cleo", &[RoleConfig { scopes: None, ..role("listed", &[]) }]).await.unwrap();
    managed.reset = true;
    house.start_with(&managed).await;
    assert_eq!(house.roles("ann").await, ["listed", "user"]);
    assert_eq!(house.roles("bob").await, ["open"], "no list of users: those who had it have it");
    assert!(house.roles("cleo").await.is_empty(), "not on the list");
}

#[test]
fn a_misspelled_scope_is_refused() {
    let config = HubConfig { extra_user_scopes: vec!["read:user".into()], ..HubConfig::default() };
    let error = check(&config, &Catalogue::default()).unwrap_err();
    assert!(format!("{error:#}").contains("hub.extra_user_scopes: read:user"), "{error:#}");
}
