//! DockerSpawner's options on a real engine: those that no other test is about. How a server is reached, what is mounted
//! into it, what it is called, and which image it is made of.

use std::net::TcpStream;

use serde_json::{Value, json};
use spawner_docker::{Escape, PullPolicy};
use spawners::{Identity, Plan, Sight, Spawner, contract};

use crate::ground::{Ground, docker, ground};

/// What the engine tells of a container.
fn inspect(container: &str) -> Value {
    let told: Value = serde_json::from_str(&docker(&["inspect", container])).unwrap();
    told[0].clone()
}

/// Whether a server listens there. It may still be on its way up.
async fn answers(address: &str) {
    contract::eventually(&format!("{address} answers"), || async { TcpStream::connect(address).is_ok() }).await;
}

/// An engine tells an empty table in one of two ways.
fn is_empty(table: &Value) -> bool {
    table.as_object().is_none_or(serde_json::Map::is_empty)
}

fn authority(url: &str) -> &str {
    url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap()
}

/// The container of a person's server, with its address in a network.
fn inside(ground: &Ground, row: i64, network: &str) -> (Value, String) {
    let told = inspect(&format!("{}-user{row}", ground.hub));
    let ip = told["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap().to_owned();
    assert!(!ip.is_empty(), "{told:#}");
    (told, ip)
}

#[tokio::test]
async fn a_server_is_reached_where_the_options_say() {
    let Some(mut ground) = ground() else { return };
    // `use_internal_ip` on the bridge: its own address, and nothing is published.
    ground.config.shape.use_internal_ip = Some(true);
    let url = ground.start(&ground.plan(1, 1)).await.unwrap().url;
    let (told, ip) = inside(&ground, 1, "bridge");
    assert_eq!(url, format!("http://{ip}:8888/user/user1/"));
    assert!(is_empty(&told["HostConfig"]["PortBindings"]), "nothing is published: {told:#}");
    answers(authority(&url)).await;

    // Not so in a network of its own, where it is the default: its port is published.
    ground.config.shape.use_internal_ip = Some(false);
    ground.config.shape.network_name = ground.network();
    let url = ground.start(&ground.plan(2, 1)).await.unwrap().url;
    let name = format!("{}-user2", ground.hub);
    assert_eq!(authority(&url), docker(&["port", &name, "8888/tcp"]));
    assert!(authority(&url).starts_with("127.0.0.1:"), "{url}");
    answers(authority(&url)).await;

    // By its name, which the engine knows in that network.
    ground.config.shape.use_internal_ip = None;
    ground.config.shape.use_internal_hostname = true;
    let plan = ground.plan(3, 1);
    let started = ground.start(&plan).await.unwrap();
    let (told, ip) = inside(&ground, 3, &ground.hub);
    assert_eq!(started.url, format!("http://{}-user3:8888/user/user3/", ground.hub));
    assert!(is_empty(&told["HostConfig"]["PortBindings"]), "{told:#}");
    answers(&format!("{ip}:8888")).await;
    let ask = "import sys, urllib.request as r\nprint(r.urlopen(sys.argv[1]).status)";
    let neighbour = ["run", "--rm", "--network", &ground.hub, ground.base(), "python3", "-c", ask];
    let served = started.url.trim_end_matches("user/user3/");
    assert_eq!(docker(&[&neighbour[..], &[served]].concat()), "200", "a hub in that network reaches it so");
    let up = Sight::Up { url: started.url.clone() };
    assert_eq!(ground.driver().look(&plan.identity, &started.state).await.unwrap(), up);
    // What it was made with counts, whatever the configuration says by now.
    ground.config.shape.use_internal_hostname = false;
    assert_eq!(ground.driver().look(&plan.identity, &started.state).await.unwrap(), up);
}

#[tokio::test]
async fn a_port_is_published_at_the_address_that_is_named() {
    let Some(mut ground) = ground() else { return };
    (ground.config.host_ip, ground.config.port) = ("127.0.0.2".into(), 9999);
    let serve = ["python3", "-u", "-m", "http.server", "9999"];
    let url = ground.start(&ground.plan_of(1, 1, &serve)).await.unwrap().url;
    assert!(url.starts_with("http://127.0.0.2:") && url.ends_with("/user/user1/"), "{url}");
    answers(authority(&url)).await;
    let port = url.trim_end_matches("/user/user1/").rsplit(':').next().unwrap();
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "nowhere else");

    // Published everywhere, and reached where the hub is told to.
    (ground.config.host_ip, ground.config.connect_ip) = ("0.0.0.0".into(), Some("127.0.0.3".into()));
    let url = ground.start(&ground.plan_of(2, 1, &serve)).await.unwrap().url;
    assert!(url.starts_with("http://127.0.0.3:"), "{url}");
    answers(authority(&url)).await;

    // An address of another machine's.
    ground.config.host_ip = "192.0.2.1".into();
    assert_eq!(ground.fails(&ground.plan_of(3, 1, &serve)).await.0, "no_such_address");
}

/// Tells how folders are mounted, and what a link leads to.
const LOOK: &str = r#"
import http.server, os, socket
mounts = {line.split()[1]: line.split() for line in open("/proc/mounts")}
for path in ("/read", "/written", "/memory", "/kept"):
    _, _, kind, options, *_ = mounts[path]
    print("mount", path, "tmpfs" if kind == "tmpfs" else "disk", options.split(",")[0])
print("link", socket.gethostbyname("db") == os.environ["DB"])
print("done", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=8888)
"#;

#[tokio::test]
async fn what_the_options_say_is_what_the_engine_makes() {
    let Some(mut ground) = ground() else { return };
    let database = format!("{}-db", ground.hub);
    docker(&["run", "--detach", "--name", &database, ground.base(), "sleep", "600"]);
    let address = inspect(&database)["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let volumes: Vec<String> = ["home-Ann_2EB", "read"].map(|name| ground.volume(name)).to_vec();

    ground.config.escape = Escape::Legacy;
    ground.config.name_template = Some("{prefix}-of-{username}-{servername}".into());
    let shape = &mut ground.config.shape;
    shape.volumes.insert(format!("{}-home-{{username}}", ground.hub), json!("/written"));
    shape.volumes.insert(volumes[1].clone(), json!({"bind": "/read", "mode": "ro"}));
    for mount in [
        json!({"Type": "tmpfs", "Target": "/memory", "TmpfsOptions": {"SizeBytes": 65536}}),
        json!({"type": "bind", "source": folder.path(), "target": "/kept", "read_only": true}),
    ] {
        shape.mounts.push(mount.as_object().unwrap().clone());
    }
    shape.links.insert(format!("{}-db", ground.hub), "db".into());
    shape.labels.insert("course".into(), "of {raw_username}".into());
    (shape.cap_add, shape.init, shape.pids_limit) = (vec!["SYS_PTRACE".into()], false, 200);
    (shape.no_new_privileges, shape.shm_size) = (false, Some(16 << 20));
    (shape.log_bytes, shape.log_files) = (1 << 20, 2);
    let identity = Identity { user: "Ann.B".into(), server: "gpu".into(), ..ground.identity(1, 1) };
    let mut plan = Plan::new(identity, "/user/Ann.B/gpu/", ["python3", "-c", LOOK].map(String::from).to_vec());
    plan.environment.push(("DB".into(), address));
    (plan.mem_limit, plan.mem_guarantee) = (Some(256 << 20), Some(128 << 20));
    ground.start(&plan).await.unwrap();

    let log = ground.says(&plan, "done").await;
    for line in
        ["mount /read disk ro", "mount /written disk rw", "mount /memory tmpfs rw", "mount /kept disk ro", "link True"]
    {
        assert!(log.lines().any(|said| said == line), "{line}: {log}");
    }
    let told = inspect(&format!("{}-of-Ann_2EB-gpu", ground.hub));
    let host = &told["HostConfig"];
    assert_eq!(told["Config"]["Labels"]["course"], "of Ann.B", "{told:#}");
    assert_eq!((&host["CapAdd"], &host["CapDrop"]), (&json!(["SYS_PTRACE"]), &json!(["ALL"])));
    assert_eq!((&host["Init"], &host["PidsLimit"], &host["SecurityOpt"]), (&json!(false), &json!(200), &Value::Null));
    assert_eq!((&host["ShmSize"], &host["MemoryReservation"]), (&json!(16 << 20), &json!(128 << 20)));
    assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(256 << 20), &json!(256 << 20)));
    assert_eq!(host["LogConfig"]["Config"], json!({"max-size": "1048576", "max-file": "2"}));
    assert_eq!(host["RestartPolicy"]["Name"], "no", "the hub starts it again, and nobody else");
    let mounted = told["Mounts"].as_array().unwrap().iter().filter_map(|mount| mount["Name"].as_str());
    let mut mounted: Vec<&str> = mounted.collect();
    mounted.sort_unstable();
    let mut expected: Vec<&str> = volumes.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(mounted, expected, "the volume of who had it with DockerSpawner 11");
}

/// As with DockerSpawner: what goes wrong in it is told in the log, and the server stays.
#[tokio::test]
async fn a_command_after_the_start_that_fails_ends_no_server() {
    let Some(mut ground) = ground() else { return };
    for (row, command) in (1..).zip([vec!["python3", "-c", "raise SystemExit(3)"], vec!["no-such-command"]]) {
        ground.config.shape.post_start_cmd = command.into_iter().map(String::from).collect();
        let plan = ground.plan(row, 1);
        let started = ground.start(&plan).await.unwrap();
        let seen = ground.driver().look(&plan.identity, &started.state).await.unwrap();
        assert_eq!(seen, Sight::Up { url: started.url });
    }
}

/// A container that is kept is taken again when it would be made the same: of the image that has the name now, too.
#[tokio::test]
async fn a_kept_container_is_made_anew_where_another_image_has_the_name_or_it_would_be_reached_otherwise() {
    let Some(mut ground) = ground() else { return };
    (ground.config.remove, ground.config.shape.network_name) = (false, ground.network());
    let reference = ground.image(format!("{}:1", ground.hub));
    ground.lend(&reference, "first");
    ground.config.image = Some(reference.clone());
    ground.config.shape.read_only_volumes.insert("/usr".into(), json!("/usr"));
    // Starts it and stops it again; tells its container, and of which image it was made.
    let run = async |ground: &Ground, generation: i64| {
        let plan = ground.plan(1, generation);
        ground.start(&plan).await.unwrap();
        let container = ground.containers().pop().unwrap();
        assert_eq!(ground.containers().len(), 1, "one, and nothing beside it");
        contract::stop(&ground.driver(), &plan.identity, &Value::Null).await;
        let version = inspect(&container)["Config"]["Labels"]["version"].as_str().unwrap().to_owned();
        (container, version)
    };
    ground.config.shape.pull_policy = PullPolicy::Never;
    let (first, version) = run(&ground, 1).await;
    assert_eq!(version, "first");
    ground.lend(&reference, "second");
    // Where the engine is not to be asked for the image, what was kept is taken as it is.
    ground.config.shape.pull_policy = PullPolicy::Skip;
    assert_eq!(run(&ground, 2).await, (first.clone(), "first".to_owned()));
    ground.config.shape.pull_policy = PullPolicy::IfNotPresent;
    let (second, version) = run(&ground, 3).await;
    assert!(second != first && version == "second", "{version}");
    assert_eq!(run(&ground, 4).await, (second.clone(), version));

    // Its name in the network, and labels that say something to others, are written on it when it is made.
    ground.config.shape.use_internal_hostname = true;
    let (third, _) = run(&ground, 5).await;
    assert_ne!(third, second);
    ground.config.shape.labels.insert("backup".into(), "daily".into());
    let (fourth, _) = run(&ground, 6).await;
    assert_ne!(fourth, third);
    assert_eq!(run(&ground, 7).await.0, fourth);
}
