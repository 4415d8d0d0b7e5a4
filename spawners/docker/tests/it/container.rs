//! What a server finds in its container.

use serde_json::json;

use crate::ground::{docker, ground};

/// Tells what a process in a container is and may.
const LOOK: &str = r#"
import os, http.server
def read(*paths):
    for path in paths:
        try: return open(path).read().strip()
        except OSError: pass
    return "none"
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("uid", os.getuid())
print("memory", read("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"))
print("cpu", read("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
print("pids", read("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"))
print("caps", status["CapEff"].strip(), status["CapBnd"].strip())
print("nnp", status["NoNewPrivs"].strip())
print("init", read("/proc/1/cmdline").split("\0")[0])
print("gpus", os.environ.get("NVIDIA_VISIBLE_DEVICES"))
print("url", os.environ["JUPYTERHUB_SERVICE_URL"])
print("dev", sorted(name for name in os.listdir("/dev") if name in ("kvm", "nvidia0", "fuse", "loop-control")))
print("done", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=8888)
"#;

#[tokio::test]
async fn a_server_is_limited_and_unprivileged() {
    let Some(mut ground) = ground() else { return };
    ground.config.shape.user = Some("1000:1000".into());
    let mut plan = ground.plan_of(1, 1, &["python3", "-c", LOOK]);
    (plan.mem_limit, plan.mem_guarantee) = (Some(256 << 20), Some(64 << 20));
    (plan.cpu_limit, plan.cpu_guarantee) = (Some(0.5), Some(0.25));
    ground.start(&plan).await.unwrap();
    let log = ground.says(&plan, "done").await;
    for line in [
        "uid 1000",
        "memory 268435456",
        "cpu 50000",
        "pids 4096",
        "caps 0000000000000000 0000000000000000",
        "nnp 1",
        "gpus void",
        "url http://0.0.0.0:8888/user/user1/",
        "dev []",
    ] {
        assert!(log.lines().any(|said| said.starts_with(line)), "{line}: {log}");
    }
    assert!(log.contains("init /sbin/docker-init"), "{log}");
    let id = &ground.containers()[0];
    let logging = docker(&["inspect", "--format", "{{.HostConfig.LogConfig}}", id]);
    assert!(logging.contains("max-size:10485760"), "{logging}");
    assert_eq!(docker(&["inspect", "--format", "{{.HostConfig.CpuShares}}", id]), "256");
}

#[tokio::test]
async fn what_is_leased_is_there_and_nothing_else() {
    let Some(ground) = ground() else { return };
    let mut plan = ground.plan_of(1, 1, &["python3", "-c", LOOK]);
    // Stands for a GPU: a device that every Linux machine has.
    plan.devices.insert("example.com/gpu".into(), vec!["/dev/loop-control".into()]);
    ground.start(&plan).await.unwrap();
    let log = ground.says(&plan, "done").await;
    assert!(log.contains("dev ['loop-control']"), "{log}");
    // There is no such GPU here: the engine is asked for the very one, and nothing is left of the start.
    let mut plan = ground.plan(2, 1);
    plan.gpus.insert("nvidia.com/gpu".into(), 1);
    plan.devices.insert("nvidia.com/gpu".into(), vec!["GPU-0".into()]);
    let (code, _) = ground.fails(&plan).await;
    assert_eq!(code, "no_device");
    assert_eq!(ground.containers().len(), 1);
}

#[tokio::test]
async fn volumes_keep_what_is_in_them_and_folders_are_seen() {
    let Some(mut ground) = ground() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("given"), "from the machine").unwrap();
    let volume = ground.volume("home-user1");
    ground.config.shape.volumes.insert(format!("{}-home-{{username}}", ground.hub), json!("/home/{raw_username}"));
    ground.config.shape.read_only_volumes.insert(folder.path().display().to_string(), json!("/given"));
    let chosen = ground.volume("data");
    let look = r#"
import os, http.server
try: open("/given/mine", "w"); print("wrote")
except OSError as error: print("read-only", error.errno)
print("given", open("/given/given").read(), open("/again/given").read())
os.makedirs("/home/user1", exist_ok=True)
with open("/home/user1/notes", "a") as notes: notes.write("x")
print("notes", open("/home/user1/notes").read())
print("data", os.path.ismount("/data"))
print("done", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=8888)
"#;
    for generation in 1..=2 {
        let mut plan = ground.plan_of(1, generation, &["python3", "-c", look]);
        plan.volumes.insert("data".into(), json!({"source": chosen, "target": "/data"}).as_object().unwrap().clone());
        plan.binds.push(spawners::Bind {
            source: folder.path().to_owned(),
            target: "/again".into(),
            read_only: false,
            propagate: false,
        });
        ground.start(&plan).await.unwrap();
        let log = ground.says(&plan, "done").await;
        let notes = format!("notes {}", "x".repeat(usize::try_from(generation).unwrap()));
        for line in ["read-only 30", "given from the machine from the machine", &notes, "data True"] {
            assert!(log.lines().any(|said| said == line), "{line}: {log}");
        }
    }
    assert_eq!(docker(&["volume", "ls", "-q", "--filter", &format!("name=^{volume}$")]), volume);
}

#[tokio::test]
async fn in_a_network_of_its_own_a_server_is_reached_inside() {
    let Some(mut ground) = ground() else { return };
    ground.config.shape.network_name = ground.network();
    let plan = ground.plan(1, 1);
    let url = ground.start(&plan).await.unwrap().url;
    let id = &ground.containers()[0];
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let ip = docker(&["inspect", "--format", format, id]);
    assert_eq!(url, format!("http://{ip}:8888/user/user1/"));
    assert_eq!(docker(&["port", id]), "", "nothing is published");
    ground.says(&plan, "Serving HTTP").await;
    assert!(tokio::net::TcpStream::connect((ip.as_str(), 8888)).await.is_ok());
}

#[tokio::test]
async fn a_server_is_in_every_network_that_is_named() {
    let Some(mut ground) = ground() else { return };
    let other = ground.network();
    let settings = json!({"networking_config": {"EndpointsConfig": {"bridge": {}, &other: {"Aliases": ["lab"]}}}});
    ground.config.shape.extra_create_kwargs = settings.as_object().unwrap().clone();
    ground.start(&ground.plan(1, 1)).await.unwrap();
    let id = ground.containers().remove(0);
    let format = "{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{end}}";
    let networks = docker(&["inspect", "--format", format, &id]);
    assert_eq!(networks.split_whitespace().collect::<Vec<_>>(), ["bridge", other.as_str()]);
    // One that is not there ends the start, and leaves nothing.
    let settings = json!({"networking_config": {"EndpointsConfig": {format!("{other}-gone"): {}}}});
    ground.config.shape.extra_create_kwargs = settings.as_object().unwrap().clone();
    assert_eq!(ground.fails(&ground.plan(2, 1)).await.0, "network_absent");
    assert_eq!(ground.containers(), [id]);
}

#[tokio::test]
async fn a_command_is_run_after_the_start_and_extra_settings_count() {
    let Some(mut ground) = ground() else { return };
    let post = r#"open("/tmp/marked", "w").write("after")"#;
    ground.config.shape.post_start_cmd = ["python3", "-c", post].map(String::from).to_vec();
    ground.config.shape.extra_host_config = json!({"shm_size": 33554432}).as_object().unwrap().clone();
    ground.config.shape.extra_create_kwargs = json!({"hostname": "lab-{username}"}).as_object().unwrap().clone();
    let plan = ground.plan(1, 1);
    ground.start(&plan).await.unwrap();
    let id = &ground.containers()[0];
    assert_eq!(docker(&["exec", id, "cat", "/tmp/marked"]), "after");
    assert_eq!(docker(&["exec", id, "hostname"]), "lab-user1");
    assert_eq!(docker(&["inspect", "--format", "{{.HostConfig.ShmSize}}", id]), "33554432");
}
