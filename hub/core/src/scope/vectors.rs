//! Compares with the real JupyterHub, by vectors that its own code made; and holds what must hold for all rights.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde::Deserialize;

use super::set::ScopeSet;
use super::*;

#[derive(Deserialize)]
struct Vectors {
    names: BTreeMap<String, (String, Vec<String>)>,
    groups: BTreeMap<String, Vec<String>>,
    expand: Vec<Expand>,
    intersect: Vec<Intersect>,
    may: Vec<May>,
    token: Vec<Token>,
    request: Vec<Request>,
}

#[derive(Deserialize)]
struct Expand {
    raw: Vec<String>,
    owner: String,
    client: String,
    expanded: Vec<String>,
}

#[derive(Deserialize)]
struct Intersect {
    a: Vec<String>,
    b: Vec<String>,
    both: Vec<String>,
}

#[derive(Deserialize)]
struct May {
    have: Vec<String>,
    scope: String,
    target: Option<String>,
    verdict: String,
}

#[derive(Deserialize)]
struct Token {
    roles: Vec<String>,
    stored: Vec<String>,
    owner: String,
    client: String,
    rights: Vec<String>,
}

#[derive(Deserialize)]
struct Request {
    wanted: Vec<String>,
    have: Vec<String>,
    client: String,
    allowed: Vec<String>,
    refused: Vec<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/vectors/scopes.json")).unwrap()
}

fn owner(text: &str) -> Owner<'_> {
    match text.split_once(':').unwrap() {
        ("user", name) => Owner::User(name),
        (_, name) => Owner::Service(name),
    }
}

fn client(id: &str) -> Client<'_> {
    match id {
        "jupyterhub" => Client::Hub,
        "service-svc" => Client::Service("svc"),
        _ => Client::Server { user: "alice", name: id.strip_prefix("jupyterhub-user-alice-").unwrap() },
    }
}

/// Rights whose scopes are expanded already.
fn exactly(texts: &[String]) -> Rights {
    let mut rights = Rights::default();
    for RawScope { name, filter } in Catalogue::default().parse_all(texts).unwrap() {
        let mut scopes = ScopeSet::default();
        scopes.insert(name);
        match filter {
            Filter::None => rights.add_all(&scopes),
            Filter::Holder(_) => panic!("not expanded: {texts:?}"),
            Filter::One(kind, name) => rights.add(kind, name, &scopes),
        }
    }
    rights
}

/// Only what was asked for, so that a forgotten question fails.
fn members(groups: &BTreeMap<String, Vec<String>>, asked: BTreeSet<String>) -> Membership {
    let mut members = Membership::none();
    for user in asked {
        members.learn(user.clone(), groups.get(&user).cloned().unwrap_or_default());
    }
    members
}

#[test]
fn the_scopes_are_jupyterhub_s() {
    let names = vectors().names;
    assert_eq!(names.len(), Scope::ALL.len());
    for scope in Scope::ALL {
        let (description, subscopes) = &names[scope.as_str()];
        assert_eq!(scope.description(), description);
        let children: Vec<&str> = scope.children().iter().map(|child| child.as_str()).collect();
        assert_eq!(&children, subscopes, "{scope}");
    }
}

fn agrees_with(vectors: &Vectors) {
    scopes_expand_as_in_jupyterhub(vectors);
    rights_intersect_as_in_jupyterhub(vectors);
    verdicts_are_jupyterhub_s(vectors);
    tokens_give_what_they_give_in_jupyterhub(vectors);
    requests_are_granted_as_in_jupyterhub(vectors);
}

#[test]
fn scopes_are_understood_as_in_jupyterhub() {
    agrees_with(&vectors());
}

/// Other cases at every run, made by JupyterHub itself where it is installed.
#[test]
fn scopes_are_understood_as_in_jupyterhub_in_thousands_of_random_cases() {
    let Some(python) = std::env::var_os("SPECOLA_JUPYTERHUB_PYTHON") else {
        eprintln!("skipped: SPECOLA_JUPYTERHUB_PYTHON names no Python with JupyterHub 6.1");
        return;
    };
    let seed = std::process::id().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/make.py");
    let output = std::process::Command::new(python).args([script, "4", &seed]).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("seed {seed}");
    let vectors: Vectors = serde_json::from_slice(&output.stdout).unwrap();
    assert!(vectors.expand.len() + vectors.intersect.len() + vectors.may.len() + vectors.token.len() > 2500);
    agrees_with(&vectors);
}

fn scopes_expand_as_in_jupyterhub(vectors: &Vectors) {
    let catalogue = Catalogue::default();
    for case in &vectors.expand {
        let raw = catalogue.parse_all(&case.raw).unwrap();
        let rights = Rights::expand(&catalogue, &raw, owner(&case.owner), client(&case.client));
        assert_eq!(rights.scopes(), case.expanded, "{:?} {} {}", case.raw, case.owner, case.client);
    }
}

fn rights_intersect_as_in_jupyterhub(vectors: &Vectors) {
    for case in &vectors.intersect {
        let (a, b) = (exactly(&case.a), exactly(&case.b));
        let members = members(&vectors.groups, questions(&a, &b));
        assert_eq!(a.intersect(&b, &members).scopes(), case.both, "{:?} {:?}", case.a, case.b);
        assert_eq!(b.intersect(&a, &members).scopes(), case.both, "{:?} {:?}", case.b, case.a);
    }
}

fn verdicts_are_jupyterhub_s(vectors: &Vectors) {
    for case in &vectors.may {
        let groups = |user: &str| vectors.groups.get(user).map_or(&[][..], |groups| groups);
        let target = match case.target.as_deref().map(|target| target.split_once('=').unwrap()) {
            None => Target::Hub,
            Some(("user", name)) => Target::User { name, groups: groups(name) },
            Some(("group", name)) => Target::Group(name),
            Some(("service", name)) => Target::Service(name),
            Some((_, server)) => {
                let (user, name) = server.split_once('/').unwrap();
                Target::Server { user, name, groups: groups(user) }
            }
        };
        let expected = match case.verdict.as_str() {
            "allowed" => Verdict::Allowed,
            "hidden" => Verdict::Hidden,
            _ => Verdict::Forbidden,
        };
        let scope = Scope::from_name(&case.scope).unwrap();
        let rights = exactly(&case.have);
        assert_eq!(rights.may(scope, &target), expected, "{:?} {scope} {target:?}", case.have);
        assert_eq!(rights.reach(scope).covers(&target), expected == Verdict::Allowed, "{:?} {scope}", case.have);
    }
}

fn tokens_give_what_they_give_in_jupyterhub(vectors: &Vectors) {
    let catalogue = Catalogue::default();
    for case in &vectors.token {
        let (owner, client) = (owner(&case.owner), client(&case.client));
        let held = match owner {
            Owner::User(name) => Rights::of_user(&catalogue, name, &case.roles, []),
            Owner::Service(name) => Rights::of_service(&catalogue, name, &case.roles),
        };
        let asked = Rights::token_questions(&catalogue, &case.stored, owner, client, &held);
        let members = members(&vectors.groups, asked);
        let rights = Rights::of_token(&catalogue, &case.stored, owner, client, &held, &members);
        assert_eq!(rights.scopes(), case.rights, "{:?} of {:?} to {client:?}", case.stored, case.roles);
    }
}

fn requests_are_granted_as_in_jupyterhub(vectors: &Vectors) {
    let catalogue = Catalogue::default();
    let set = |texts: &[String]| catalogue.parse_all(texts).unwrap().into_iter().collect::<BTreeSet<_>>();
    let members = members(&vectors.groups, vectors.groups.keys().cloned().collect());
    for case in &vectors.request {
        let (wanted, have) = (set(&case.wanted), set(&case.have));
        let grant = resolve_requested(&catalogue, &wanted, &have, Owner::User("alice"), client(&case.client), &members);
        assert_eq!(grant.refused, set(&case.refused), "{:?} of {:?}", case.wanted, case.have);
        // Which of several texts stands for the same right depends on JupyterHub's order of sets.
        let meaning = |scopes| Rights::expand(&catalogue, scopes, Owner::User("alice"), client(&case.client));
        assert_eq!(meaning(&grant.allowed), meaning(&set(&case.allowed)), "{:?} of {:?}", case.wanted, case.have);
    }
}

#[test]
fn shares_reach_their_server_only_and_follow_its_name() {
    let catalogue = Catalogue::default();
    let scopes = ["access:servers!server=old/gpu".to_owned(), "servers".to_owned()];
    let share = Share { owner: "alice", server: "gpu", scopes: &scopes };
    let rights = Rights::of_user(&catalogue, "bob", &[], [share]);
    let expected = ["access:servers", "delete:servers", "read:servers", "servers", "start:servers"];
    assert_eq!(rights.scopes(), expected.map(|scope| format!("{scope}!server=alice/gpu")));
    assert!(matches!(share.requested(&catalogue), Err(ScopeError::ShareFilter { .. })));
    let fresh = ["access:servers".to_owned(), "read:servers!server=alice/gpu".to_owned()];
    let share = Share { owner: "alice", server: "gpu", scopes: &fresh };
    let texts: Vec<String> = share.requested(&catalogue).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["access:servers!server=alice/gpu", "read:servers!server=alice/gpu"]);
}

#[test]
fn nobody_gives_what_he_lacks() {
    let have = exactly(&["read:users".to_owned(), "servers!user=alice".to_owned()]);
    let want = exactly(&["read:users!user=bob".to_owned(), "servers!server=alice/x".to_owned(), "shutdown".to_owned()]);
    assert_eq!(have.lacks(&want, &Membership::none()), ["shutdown"]);
    assert_eq!(want.lacks(&have, &Membership::none()), ["read:users", "servers!user=alice"]);
}

#[test]
fn fields_show_by_scope() {
    let fields = |scopes: &[&str]| {
        let texts: Vec<String> = scopes.iter().map(|&scope| scope.into()).collect();
        exactly(&texts).user_fields("alice", &["g1".to_owned()])
    };
    assert_eq!(fields(&["read:users!user=bob"]), UserFields::default());
    let name = fields(&["read:users:name!group=g1"]);
    assert_eq!(name, UserFields { name: true, admin: true, user_info: true, ..UserFields::default() });
    let servers = fields(&["read:servers!user=alice"]);
    assert_eq!(servers, UserFields { name: true, servers: true, ..UserFields::default() });
    let all = fields(&["read:users"]);
    assert!(all.created && all.pending && all.roles && !all.servers && !all.auth_state);
    let group = exactly(&["read:roles:groups!group=g1".to_owned()]).group_fields("g1");
    assert_eq!(group, GroupFields { name: true, content: false, roles: true });
    let service = exactly(&["read:services:name".to_owned()]).service_fields("svc");
    assert_eq!(service, ServiceFields { name: true, content: false, roles: false });
}

fn raw_scopes() -> impl Strategy<Value = Vec<RawScope>> {
    let scope = prop::sample::select(Scope::ALL).prop_filter("no metascope", |scope| *scope != Scope::Inherit);
    let filter = prop::sample::select(vec![
        "",
        "",
        "!user=alice",
        "!user=bob",
        "!group=g1",
        "!group=g2",
        "!server=alice/",
        "!server=alice/x",
        "!server=bob/x",
        "!service=svc",
        "!user",
        "!server",
    ]);
    let one =
        (scope, filter).prop_map(|(scope, filter)| Catalogue::default().parse(&format!("{scope}{filter}")).unwrap());
    prop::collection::vec(one, 0..6)
}

fn world() -> [(String, Vec<String>); 3] {
    [("alice".into(), vec!["g1".into()]), ("bob".into(), vec!["g2".into(), "g1".into()]), ("dave".into(), vec![])]
}

proptest! {
    /// Whatever a token stores, it may do nothing that its owner may not.
    #[test]
    fn a_token_is_never_more_than_its_owner(roles in raw_scopes(), stored in raw_scopes(), orphan in any::<bool>()) {
        let catalogue = Catalogue::default();
        let texts = |scopes: &[RawScope]| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (alice, world) = (Owner::User("alice"), world());
        let client = if orphan { Client::Orphan } else { Client::Server { user: "bob", name: "x" } };
        let held = Rights::of_user(&catalogue, "alice", &texts(&roles), []);
        let asked = Rights::token_questions(&catalogue, &texts(&stored), alice, client, &held);
        let members = members(&BTreeMap::from(world.clone()), asked);
        let token = Rights::of_token(&catalogue, &texts(&stored), alice, client, &held, &members);
        for &scope in Scope::ALL {
            let mut targets = vec![Target::Hub, Target::Group("g1"), Target::Group("g2"), Target::Service("svc")];
            for (user, groups) in &world {
                targets.push(Target::User { name: user, groups });
                targets.extend(["", "x"].map(|name| Target::Server { user, name, groups }));
            }
            for target in targets {
                if token.may(scope, &target) == Verdict::Allowed {
                    prop_assert_eq!(held.may(scope, &target), Verdict::Allowed, "{} {:?}", scope, target);
                }
            }
        }
    }

    #[test]
    fn intersection_has_no_side_and_no_second_effect(a in raw_scopes(), b in raw_scopes()) {
        let catalogue = Catalogue::default();
        let expand = |scopes| Rights::expand(&catalogue, scopes, Owner::User("alice"), Client::Hub);
        let (a, b) = (expand(&a), expand(&b));
        let members = members(&BTreeMap::from(world()), questions(&a, &b));
        let both = a.intersect(&b, &members);
        prop_assert_eq!(&both, &b.intersect(&a, &members));
        prop_assert_eq!(&both, &both.intersect(&a, &members));
        prop_assert_eq!(a.intersect(&a, &Membership::none()), a);
    }

    #[test]
    fn no_text_makes_the_parser_panic_or_changes_on_the_way(text in ".*", filter in "[a-z]{0,7}=?.*") {
        let catalogue = Catalogue::default();
        for text in [text, format!("servers!{filter}")] {
            if let Ok(scope) = catalogue.parse(&text) {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
