use hub_core::id::{Generation, SpawnerId};

use super::*;
use crate::contract::{self, Paper};
use crate::fake::{Fake, Script, World};

fn plan(spawner: i64, generation: i64) -> Plan {
    let identity = Identity {
        hub: "h".into(),
        spawner: SpawnerId(spawner),
        generation: Generation(generation),
        user: "anna".into(),
        server: String::new(),
        account: None,
    };
    Plan::new(identity, "/user/anna/", vec!["lab".into()])
}

fn at(site: &str, spawner: i64, generation: i64) -> Plan {
    Plan { site: Some(site.into()), ..plan(spawner, generation) }
}

fn sites(worlds: &[World; 2], own: Option<&str>) -> Sites {
    let site = |name: &str, world: &World| Site {
        name: name.into(),
        shown: name.to_uppercase(),
        driver: Arc::new(Fake::new(world)),
    };
    let [cnaf, bari] = worlds;
    Sites::new(vec![site("cnaf", cnaf), site("bari", bari)], own).unwrap()
}

fn give_up(sites: &Sites, names: &[&str]) {
    sites.give_up_only(names.iter().map(|name| (*name).to_owned()).collect(), Instant::now());
}

async fn start(sites: &Sites, plan: &Plan) -> Started {
    sites.start(plan, &Value::Null, &Paper::default()).await.unwrap()
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let worlds = Default::default();
    contract::all(&|| Box::new(sites(&worlds, None)), &plan).await;
}

#[tokio::test]
async fn at_another_site_than_the_first_it_keeps_it_too() {
    let worlds: [World; 2] = Default::default();
    let all = || Box::new(sites(&worlds, None)) as Box<dyn Spawner>;
    let there = |spawner, generation| at("bari", spawner, generation);
    // The other checks look without a state, which leads to the first site.
    contract::what_does_not_exist_is_absent_and_can_be_stopped(&all, &there).await;
    contract::a_newer_generation_replaces_the_older(&all, &there).await;
    contract::a_start_that_is_cut_off_leaves_nothing_unknown(&all, &there).await;
    contract::a_start_that_may_not_save_creates_nothing(&all, &there).await;
    contract::two_servers_do_not_touch_each_other(&all, &there).await;
    assert!(worlds[0].is_empty() && worlds[0].created() == 0);
}

#[tokio::test]
async fn the_state_leads_any_hub_to_the_site_of_a_server() {
    let worlds: [World; 2] = Default::default();
    let paper = Paper::default();
    let started = sites(&worlds, None).start(&at("bari", 1, 1), &Value::Null, &paper).await.unwrap();
    assert_eq!((Sites::site_of(&started.state), paper.last()), (Some("bari"), started.state.clone()));
    let (other, server) = (sites(&worlds, Some("cnaf")), plan(1, 1).identity);
    assert_eq!(other.look(&server, &started.state).await.unwrap().seen(), hub_core::life::Seen::Up);
    // What was begun goes on where it was begun.
    other.start(&plan(1, 1), &started.state, &Paper::default()).await.unwrap();
    assert_eq!((worlds[0].len(), worlds[1].created()), (0, 1));
    other.stop(&server, &started.state, Stop::default()).await.unwrap();
    assert!(worlds[1].is_empty() && worlds[0].calls().is_empty());
}

#[tokio::test]
async fn without_a_choice_it_is_the_hubs_own_site_and_without_that_the_first() {
    for (own, expected) in [(None, "cnaf"), (Some("bari"), "bari")] {
        let worlds = Default::default();
        let started = start(&sites(&worlds, own), &plan(1, 1)).await;
        assert_eq!(Sites::site_of(&started.state), Some(expected));
    }
    let worlds = Default::default();
    let refused = sites(&worlds, None).start(&at("pisa", 1, 1), &Value::Null, &Paper::default()).await;
    assert!(matches!(refused, Err(StartError::Refused { code: "no_such_site", .. })), "{refused:?}");
}

#[tokio::test]
async fn a_server_of_before_belongs_to_the_first_site() {
    let worlds: [World; 2] = Default::default();
    let (alone, plan) = (Fake::new(&worlds[0]), plan(1, 1));
    let before = alone.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    let sites = sites(&worlds, Some("bari"));
    assert_eq!(sites.look(&plan.identity, &before.state).await.unwrap(), Sight::Up { url: before.url });
    sites.stop(&plan.identity, &before.state, Stop::default()).await.unwrap();
    assert!(worlds[0].is_empty() && worlds[1].calls().is_empty());
}

#[tokio::test]
async fn a_site_that_is_away_says_nothing_and_the_other_goes_on() {
    let worlds: [World; 2] = Default::default();
    let sites = sites(&worlds, None);
    let [cnaf, bari] = [start(&sites, &at("cnaf", 1, 1)).await, start(&sites, &at("bari", 2, 1)).await];
    worlds[0].unreachable(true);
    assert!(sites.look(&plan(1, 1).identity, &cnaf.state).await.is_err());
    assert!(sites.look(&plan(2, 1).identity, &bari.state).await.is_ok());
    let listed = sites.list_owned().await.unwrap();
    assert_eq!(listed.iter().map(|owned| owned.identity.spawner.0).collect::<Vec<_>>(), [2]);
    start(&sites, &at("bari", 3, 1)).await;
    // What it may have left there is not known.
    assert!(sites.forget(&plan(2, 1).identity, &bari.state).await.is_err());
    worlds[1].unreachable(true);
    assert!(sites.list_owned().await.is_err());
}

#[tokio::test]
async fn what_is_left_at_a_site_is_listed_with_the_way_to_it() {
    let worlds: [World; 2] = Default::default();
    let sites = sites(&worlds, None);
    start(&sites, &at("cnaf", 1, 1)).await;
    start(&sites, &at("bari", 1, 2)).await;
    let all = sites.list_owned().await.unwrap();
    let old = all.iter().find(|owned| owned.identity.generation == Generation(1)).unwrap();
    sites.stop(&old.identity, &old.state, Stop { force: true }).await.unwrap();
    assert_eq!((worlds[0].len(), worlds[1].len()), (0, 1));
}

#[tokio::test]
async fn a_site_that_is_given_up_has_nothing_until_it_is_taken_back() {
    let worlds: [World; 2] = Default::default();
    let sites = sites(&worlds, None);
    let (server, started) = (plan(1, 1).identity, start(&sites, &at("cnaf", 1, 1)).await);
    worlds[0].unreachable(true);
    give_up(&sites, &["cnaf"]);
    assert_eq!(sites.look(&server, &started.state).await.unwrap(), Sight::Absent);
    assert_eq!(sites.given_up(&started.state).as_deref(), Some("CNAF"));
    sites.stop(&server, &started.state, Stop::default()).await.unwrap();
    sites.forget(&server, &started.state).await.unwrap();
    let refused = sites.start(&at("cnaf", 1, 2), &Value::Null, &Paper::default()).await.unwrap_err();
    assert!(refused.to_string().contains("CNAF is out of service"), "{refused}");
    let renaming = Renaming { account: "1", user: "anna", name: "bea", servers: &[] };
    assert!(matches!(sites.rename(&renaming).await, Err(RenameError::Refused(_))));
    start(&sites, &at("bari", 1, 2)).await;
    assert_eq!(sites.list_owned().await.unwrap().len(), 1);
    worlds[0].unreachable(false);
    assert_eq!(sites.list_owned().await.unwrap().len(), 1, "nobody asks it");
    give_up(&sites, &[]);
    let generations: Vec<i64> =
        sites.list_owned().await.unwrap().iter().map(|owned| owned.identity.generation.0).collect();
    assert_eq!(generations, [1, 2], "what came back is older than what runs");
}

#[tokio::test]
async fn what_was_known_of_a_site_a_while_ago_ends_no_server() {
    let worlds: [World; 2] = Default::default();
    let sites = sites(&worlds, None);
    let (server, started) = (plan(1, 1).identity, start(&sites, &at("cnaf", 1, 1)).await);
    let long_ago = Instant::now().checked_sub(MEMORY * 2).unwrap();
    sites.give_up_only(["cnaf".to_owned()].into(), long_ago);
    assert!(sites.look(&server, &started.state).await.is_err());
    assert!(sites.stop(&server, &started.state, Stop::default()).await.is_err());
    assert!(sites.forget(&server, &started.state).await.is_err());
    let refused = sites.start(&at("cnaf", 1, 2), &Value::Null, &Paper::default()).await;
    assert!(matches!(refused, Err(StartError::Refused { code: "site_given_up", .. })), "{refused:?}");
    assert!(start(&sites, &at("bari", 2, 1)).await.url.len() > 1, "the other goes on");
    give_up(&sites, &["cnaf"]);
    assert_eq!(sites.look(&server, &started.state).await.unwrap(), Sight::Absent);
}

#[tokio::test]
async fn servers_of_a_site_that_is_not_configured_any_more_are_not_judged_but_can_be_given_up() {
    let worlds = Default::default();
    let (sites, server, state) = (sites(&worlds, None), plan(1, 1).identity, json!({ "site": "pisa" }));
    assert!(sites.look(&server, &state).await.is_err());
    assert!(sites.stop(&server, &state, Stop::default()).await.is_err());
    give_up(&sites, &["pisa"]);
    assert_eq!(sites.look(&server, &state).await.unwrap(), Sight::Absent);
    give_up(&sites, &["bari"]);
    assert!(sites.look(&server, &state).await.is_err(), "only that one");
    let refused = sites.start(&at("bari", 1, 1), &Value::Null, &Paper::default()).await;
    assert!(matches!(refused, Err(StartError::Refused { code: "site_given_up", .. })), "{refused:?}");
}

/// Never answers.
struct Deaf;

#[async_trait]
impl Spawner for Deaf {
    fn kind(&self) -> &'static str {
        "fake"
    }

    async fn start(&self, _: &Plan, _: &Value, _: &dyn Record) -> Result<Started, StartError> {
        std::future::pending().await
    }

    async fn kept_token(&self, _: &Identity) -> Result<Option<Secret>, Unreachable> {
        std::future::pending().await
    }

    async fn look(&self, _: &Identity, _: &Value) -> Result<Sight, Unreachable> {
        std::future::pending().await
    }

    async fn stop(&self, _: &Identity, _: &Value, _: Stop) -> Result<(), Unreachable> {
        std::future::pending().await
    }

    async fn forget(&self, _: &Identity, _: &Value) -> Result<(), Unreachable> {
        std::future::pending().await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        std::future::pending().await
    }

    async fn watch(&self, _: mpsc::Sender<News>, _: CancellationToken) {}

    async fn logs(&self, _: &Identity, _: &Value, _: usize) -> Result<String, Unreachable> {
        std::future::pending().await
    }
}

/// A site that never answers, and one that does.
fn deaf(rest: Duration) -> Sites {
    let place = |name: &str, driver: Arc<dyn Spawner>| Place {
        site: Site { name: name.into(), shown: name.to_uppercase(), driver },
        patience: (Duration::from_millis(100), rest),
        resting: Mutex::default(),
    };
    let (first, others) = (place("cnaf", Arc::new(Deaf)), vec![place("bari", Arc::new(Fake::new(&World::new())))]);
    Sites(Arc::new(Inner { first, others, own: None, given_up: RwLock::new(GivenUp::at(Instant::now())) }))
}

#[tokio::test]
async fn only_the_site_that_a_start_goes_to_is_asked_for_what_was_kept() {
    let (sites, server) = (deaf(Duration::ZERO), plan(1, 1).identity);
    assert!(sites.kept_token_at(&server, Some("cnaf")).await.is_err());
    assert!(sites.kept_token_at(&server, None).await.is_err());
    assert!(sites.kept_token_at(&server, Some("bari")).await.unwrap().is_none());
    give_up(&sites, &["cnaf"]);
    assert!(sites.kept_token_at(&server, Some("cnaf")).await.unwrap().is_none(), "its start will be refused");
}

#[tokio::test]
async fn a_site_without_an_answer_lets_one_wait_and_not_everybody() {
    let (sites, server) = (deaf(Duration::from_secs(3600)), plan(1, 1).identity);
    let told = async || sites.look(&server, &Value::Null).await.unwrap_err().to_string();
    assert!(told().await.contains("no answer within"), "one waits");
    for _ in 0..100 {
        let told = told().await;
        assert!(told.contains("does not answer"), "nobody else does: {told}");
    }
    *sites.0.first.resting() = None;
    assert!(told().await.contains("no answer within"), "after a while it is asked again");
}

#[test]
fn a_drivers_own_state_comes_back_as_it_was() {
    for own in [
        Value::Null,
        json!({ "pod_name": "jupyter-anna" }),
        json!({ "site": "of the driver's own" }),
        json!({ "state": 1 }),
        json!("text"),
        json!([1]),
    ] {
        let with = with_site(&own, "bari");
        assert_eq!((without_site(&with), Sites::site_of(&with)), (own, Some("bari")));
    }
    assert_eq!(with_site(&json!({ "pod_name": "a" }), "bari"), json!({ "pod_name": "a", "site": "bari" }));
}

#[tokio::test]
async fn news_come_from_all_sites() {
    let worlds: [World; 2] = Default::default();
    let (sites, stop) = (sites(&worlds, None), CancellationToken::new());
    worlds[1].script(SpawnerId(1), Script::Obedient);
    start(&sites, &at("bari", 1, 1)).await;
    let (sender, mut news) = mpsc::channel(4);
    let watching = sites.watch(sender, stop.clone());
    let heard = async {
        let heard = loop {
            // Until somebody listens nobody hears it.
            worlds[1].kill(SpawnerId(1), 1);
            if let Ok(heard) = news.try_recv() {
                break heard;
            }
            tokio::task::yield_now().await;
        };
        stop.cancel();
        heard
    };
    let ((), heard) = tokio::join!(watching, heard);
    assert_eq!(heard, News::Look(SpawnerId(1)));
}
