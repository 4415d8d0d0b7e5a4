//! Settings under the names and in the shapes of docker-py, which DockerSpawner hands them to, as what the API has. What
//! is in the words of the API stays as it is.

use serde_json::{Map, Value, json};

use crate::mount;

/// How a value is read.
type Reads = fn(Value) -> Result<Value, String>;
/// docker-py's name, the API's, and how the value is read under either.
type Word = (&'static str, &'static str, Reads);

/// `extra_host_config`. A name that is not here is the API's with small letters.
const HOST: &[Word] = &[
    ("binds", "Binds", binds),
    ("blkio_weight_device", "BlkioWeightDevice", tables),
    ("cgroupns", "CgroupnsMode", same),
    ("cpu_rt_period", "CpuRealtimePeriod", same),
    ("cpu_rt_runtime", "CpuRealtimeRuntime", same),
    ("device_read_bps", "BlkioDeviceReadBps", rates),
    ("device_read_iops", "BlkioDeviceReadIOps", tables),
    ("device_requests", "DeviceRequests", tables),
    ("device_write_bps", "BlkioDeviceWriteBps", rates),
    ("device_write_iops", "BlkioDeviceWriteIOps", tables),
    ("devices", "Devices", devices),
    ("dns_opt", "DnsOptions", same),
    ("extra_hosts", "ExtraHosts", hosts),
    ("group_add", "GroupAdd", texts),
    ("links", "Links", links),
    ("log_config", "LogConfig", table),
    ("mem_limit", "Memory", bytes),
    ("mem_reservation", "MemoryReservation", bytes),
    ("mem_swappiness", "MemorySwappiness", same),
    ("memswap_limit", "MemorySwap", bytes),
    ("mounts", "Mounts", mounts),
    ("port_bindings", "PortBindings", bindings),
    ("read_only", "ReadonlyRootfs", same),
    ("restart_policy", "RestartPolicy", table),
    ("shm_size", "ShmSize", bytes),
    ("storage_opt", "StorageOpt", table_of_texts),
    ("sysctls", "Sysctls", table_of_texts),
    ("tmpfs", "Tmpfs", tmpfs),
    ("ulimits", "Ulimits", tables),
    ("uts_mode", "UTSMode", same),
    ("volumes_from", "VolumesFrom", divided),
];

/// `extra_create_kwargs`.
const CREATE: &[Word] = &[
    ("command", "Cmd", command),
    ("entrypoint", "Entrypoint", command),
    ("environment", "Env", environment),
    ("healthcheck", "Healthcheck", health),
    ("labels", "Labels", labels),
    ("ports", "ExposedPorts", ports),
    ("stdin_open", "OpenStdin", same),
    ("user", "User", text),
    ("volumes", "Volumes", folders),
];

/// Names in tables that are not simply the API's with small letters.
const MEMBERS: [(&str, &str); 1] = [("device_ids", "DeviceIDs")];

/// One of `mounts`: the place in the API of what docker-py has beside each other.
const MOUNT: &[(&str, &[&str], Reads)] = &[
    ("driver_config", &["VolumeOptions", "DriverConfig"], table),
    ("labels", &["VolumeOptions", "Labels"], table_of_texts),
    ("no_copy", &["VolumeOptions", "NoCopy"], same),
    ("propagation", &["BindOptions", "Propagation"], same),
    ("subpath", &["VolumeOptions", "Subpath"], same),
    ("tmpfs_mode", &["TmpfsOptions", "Mode"], same),
    ("tmpfs_size", &["TmpfsOptions", "SizeBytes"], bytes),
];

/// What `extra_create_kwargs` comes to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Create {
    /// Of the container itself.
    pub body: Map<String, Value>,
    /// Of its `HostConfig`.
    pub host: Map<String, Value>,
    /// The platform that the image is to be of.
    pub platform: Option<String>,
    /// The address of the container in its network.
    pub mac_address: Option<String>,
}

/// `extra_host_config` in the words of the API. The error says what is not understood.
pub(crate) fn host(settings: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    settings.iter().map(|(name, value)| read(HOST, name, value)).collect()
}

/// The same for `extra_create_kwargs`.
pub(crate) fn create(settings: &Map<String, Value>) -> Result<Create, String> {
    let mut create = Create::default();
    for (name, value) in settings {
        let word = || value.as_str().map(str::to_owned).ok_or_else(|| format!("{name} has to be a text"));
        match name.as_str() {
            // How docker-py waits and asks, which is nothing of the container's.
            "detach" | "use_config_proxy" => {}
            "platform" => create.platform = Some(word()?),
            "mac_address" | "MacAddress" => create.mac_address = Some(word()?),
            "runtime" | "Runtime" => drop(create.host.insert("Runtime".to_owned(), value.clone())),
            "host_config" | "HostConfig" => match value {
                Value::Object(settings) => create.host.extend(host(settings)?),
                _ => return Err(format!("{name} has to be a table")),
            },
            "image" | "Image" => return Err(format!("{name} is the option image of its own")),
            "name" => return Err("name is made of the option name_template".to_owned()),
            _ => {
                let (name, value) = read(CREATE, name, value)?;
                create.body.insert(name, value);
            }
        }
    }
    Ok(create)
}

/// One of `mounts` in the words of the API.
pub(crate) fn mount(settings: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut mount = Map::new();
    for (name, value) in settings {
        let said = |what| format!("{name} {what}");
        match MOUNT.iter().find(|(known, ..)| known == name) {
            Some((_, [options, member], reads)) => {
                let place = mount.entry(*options).or_insert_with(|| json!({}));
                if let Value::Object(place) = place {
                    place.insert((*member).to_owned(), reads(value.clone()).map_err(said)?);
                }
            }
            _ => {
                let value = table(value.clone()).map_err(said)?;
                match (mount.get_mut(&api_name(name)), value) {
                    (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                    (_, value) => drop(mount.insert(api_name(name), value)),
                }
            }
        }
    }
    Ok(mount)
}

fn read(words: &[Word], name: &str, value: &Value) -> Result<(String, Value), String> {
    let known = words.iter().find(|(theirs, api, _)| *theirs == name || *api == name);
    let Some((_, api, reads)) = known else { return Ok((api_name(name), value.clone())) };
    match value {
        // Not said, as `None` is in docker-py.
        Value::Null => Ok(((*api).to_owned(), Value::Null)),
        value => Ok(((*api).to_owned(), reads(value.clone()).map_err(|what| format!("{name} {what}"))?)),
    }
}

fn api_name(name: &str) -> String {
    if let Some((_, api)) = MEMBERS.iter().find(|(theirs, _)| *theirs == name) {
        return (*api).to_owned();
    }
    if name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return name.to_owned();
    }
    name.split('_').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn same(value: Value) -> Result<Value, String> {
    Ok(value)
}

/// `"1G"` is a number.
fn bytes(value: Value) -> Result<Value, String> {
    match value {
        Value::String(_) => {
            crate::shape::size(&value).map(Value::from).ok_or_else(|| "is no number of bytes".to_owned())
        }
        value => Ok(value),
    }
}

fn text(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        value => value,
    })
}

fn texts(value: Value) -> Result<Value, String> {
    each(value, text)
}

fn each(value: Value, reads: Reads) -> Result<Value, String> {
    match value {
        Value::Array(items) => items.into_iter().map(reads).collect(),
        _ => Err("has to be a list".to_owned()),
    }
}

/// A list as one text with commas.
fn divided(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => text.split(',').map(|one| Value::from(one.trim())).collect(),
        value => value,
    })
}

/// A table whose own names may have small letters. What its members hold is in the words of whoever reads them.
fn table(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::Object(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (api_name(&name), value)).collect())
        }
        value => value,
    })
}

fn tables(value: Value) -> Result<Value, String> {
    each(value, table)
}

fn table_of_texts(value: Value) -> Result<Value, String> {
    match value {
        Value::Object(table) => {
            table.into_iter().map(|(name, value)| Ok((name, text(value)?))).collect::<Result<_, _>>().map(Value::Object)
        }
        _ => Err("has to be a table".to_owned()),
    }
}

/// Rates of devices, where `"1M"` is a number.
fn rates(value: Value) -> Result<Value, String> {
    each(value, |item| {
        let mut item = table(item)?;
        if let Some(rate) = item.get_mut("Rate") {
            *rate = bytes(rate.take())?;
        }
        Ok(item)
    })
}

/// A command as a shell divides it, or in words.
fn command(value: Value) -> Result<Value, String> {
    let Value::String(text) = &value else { return Ok(value) };
    let words = shlex::split(text).ok_or("is no command: a quote is not closed")?;
    Ok(words.into())
}

/// `/dev/fuse:/dev/fuse:rwm`.
fn devices(value: Value) -> Result<Value, String> {
    each(value, |device| {
        let Value::String(text) = &device else { return table(device) };
        let mut parts = text.split(':');
        let on_host = parts.next().unwrap_or_default();
        let (inside, rights) = (parts.next().unwrap_or(on_host), parts.next().unwrap_or("rwm"));
        if on_host.is_empty() || parts.next().is_some() {
            return Err(format!("contains {text:?}, which is no device"));
        }
        Ok(json!({ "PathOnHost": on_host, "PathInContainer": inside, "CgroupPermissions": rights }))
    })
}

/// `{name = address}`, or lines.
fn hosts(value: Value) -> Result<Value, String> {
    pairs(value, "extra hosts")
}

/// `{container = alias}`, or a list of lines or pairs.
fn links(value: Value) -> Result<Value, String> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item.as_array().map(Vec::as_slice) {
                Some([name, alias]) => Ok(Value::String(format!("{}:{}", plain(name), plain(alias)))),
                Some(_) => Err(format!("contains {item}, which is no pair")),
                None => Ok(item),
            })
            .collect(),
        value => pairs(value, "links"),
    }
}

fn pairs(value: Value, what: &str) -> Result<Value, String> {
    match value {
        Value::Object(table) => Ok(table.iter().map(|(name, of)| format!("{name}:{}", plain(of))).collect()),
        Value::Array(_) => Ok(value),
        _ => Err(format!("has to be a table or a list of {what}")),
    }
}

/// Folders in memory: `/run:size=64m`, or a table.
fn tmpfs(value: Value) -> Result<Value, String> {
    let Value::Array(lines) = value else { return table_of_texts(value) };
    let read = |line: &Value| {
        let line = line.as_str().ok_or("has to be a list of texts")?;
        let (folder, options) = line.split_once(':').unwrap_or((line, ""));
        Ok((folder.to_owned(), Value::from(options)))
    };
    lines.iter().map(read).collect::<Result<_, String>>().map(Value::Object)
}

/// `{source = {bind, mode}}`, or lines.
fn binds(value: Value) -> Result<Value, String> {
    match value {
        Value::Object(volumes) => {
            volumes.iter().map(|(source, written)| mount::spelled(source, written).map(Value::from)).collect()
        }
        value => Ok(value),
    }
}

fn mounts(value: Value) -> Result<Value, String> {
    each(value, |item| match item {
        Value::Object(settings) => Ok(Value::Object(mount(&settings)?)),
        _ => Err("has to be a list of tables".to_owned()),
    })
}

/// `{8080 = 80}`: a port, an address, both, a table, or a list of these, for each port of the container.
fn bindings(value: Value) -> Result<Value, String> {
    let Value::Object(ports) = value else { return Err("has to be a table of ports".to_owned()) };
    let read = |(port, written): (String, Value)| {
        let port = if port.contains('/') { port } else { format!("{port}/tcp") };
        // A pair of Python's is a list here, and begins with an address.
        let is_pair = written.get(0).and_then(Value::as_str).is_some_and(is_address);
        let list = match written {
            Value::Array(items) if !is_pair => items.into_iter().map(binding).collect(),
            written => binding(written).map(|one| vec![one]),
        };
        Ok((port, Value::Array(list?)))
    };
    ports.into_iter().map(read).collect::<Result<_, String>>().map(Value::Object)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn binding(written: Value) -> Result<Value, String> {
    if written.is_object() {
        return table_of_texts(table(written)?);
    }
    let of = |address: &str, port: &str| json!({ "HostIp": address, "HostPort": port });
    let pair = match &written {
        Value::Array(pair) => pair.as_slice(),
        _ => std::slice::from_ref(&written),
    };
    Ok(match pair {
        [Value::Null] => of("", ""),
        [Value::String(text)] if is_address(text) => of(text, ""),
        [port @ (Value::Number(_) | Value::String(_))] => of("", &plain(port)),
        [address, port] => of(&plain(address), &plain(port)),
        _ => return Err(format!("contains {written}, which is no port")),
    })
}

/// Lines, or a table; a name without a value is one that the image's own is taken away of.
fn environment(value: Value) -> Result<Value, String> {
    match value {
        Value::Object(table) => Ok(table
            .iter()
            .map(|(name, value)| if value.is_null() { name.clone() } else { format!("{name}={}", plain(value)) })
            .collect()),
        Value::Array(_) => texts(value),
        _ => Err("has to be a table or a list".to_owned()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Ports that are exposed: numbers, `80/udp`, pairs, or a table.
fn ports(value: Value) -> Result<Value, String> {
    let name = |port: &Value| match port.as_array().map(Vec::as_slice) {
        Some([port, protocol]) => format!("{}/{}", plain(port), plain(protocol)),
        _ if plain(port).contains('/') => plain(port),
        _ => format!("{}/tcp", plain(port)),
    };
    match value {
        Value::Array(items) => Ok(empty(items.iter().map(name))),
        Value::Object(table) => Ok(empty(table.keys().map(|port| name(&Value::from(port.as_str()))))),
        _ => Err("has to be a list of ports".to_owned()),
    }
}

/// Folders that are volumes without a name.
fn folders(value: Value) -> Result<Value, String> {
    match value {
        Value::String(folder) => Ok(empty([folder])),
        Value::Array(items) => Ok(empty(items.iter().map(plain))),
        Value::Object(table) => Ok(empty(table.keys().cloned())),
        _ => Err("has to be a list of folders".to_owned()),
    }
}

/// A set, as Docker writes one.
fn empty(names: impl IntoIterator<Item = String>) -> Value {
    Value::Object(names.into_iter().map(|name| (name, json!({}))).collect())
}

fn labels(value: Value) -> Result<Value, String> {
    match value {
        Value::Array(names) => Ok(names.iter().map(|name| (plain(name), json!(""))).collect::<Map<_, _>>().into()),
        value => table_of_texts(value),
    }
}

fn health(value: Value) -> Result<Value, String> {
    let mut check = table(value)?;
    if let Some(test) = check.get_mut("Test")
        && let Some(line) = test.as_str()
    {
        *test = json!(["CMD-SHELL", line]);
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extra::lay;
    use bollard::models::{ContainerCreateBody, HostConfig, Mount};

    fn table(value: &Value) -> &Map<String, Value> {
        value.as_object().unwrap()
    }

    /// Each as docker-py takes it, and what docker-py 7.2 makes of it.
    #[test]
    fn the_host_config_of_docker_py_is_the_apis() {
        let rows = [
            (
                json!({"devices": ["/dev/fuse:/dev/fuse:rwm", "/dev/kvm"]}),
                json!({"Devices": [
                    {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
                    {"PathOnHost": "/dev/kvm", "PathInContainer": "/dev/kvm", "CgroupPermissions": "rwm"},
                ]}),
            ),
            (
                json!({"device_requests": [{"count": 1, "capabilities": [["gpu"]]}, {"device_ids": ["0"], "driver": "x"}]}),
                json!({"DeviceRequests": [
                    {"Count": 1, "Capabilities": [["gpu"]]}, {"DeviceIDs": ["0"], "Driver": "x"},
                ]}),
            ),
            (json!({"extra_hosts": {"db": "10.0.0.1"}}), json!({"ExtraHosts": ["db:10.0.0.1"]})),
            (
                json!({"ulimits": [{"name": "nofile", "soft": 64, "hard": 128}]}),
                json!({"Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 128}]}),
            ),
            (json!({"tmpfs": ["/run:size=3G,uid=1", "/x"]}), json!({"Tmpfs": {"/run": "size=3G,uid=1", "/x": ""}})),
            (json!({"tmpfs": {"/run": "size=3G"}}), json!({"Tmpfs": {"/run": "size=3G"}})),
            (
                json!({"log_config": {"type": "syslog", "config": {"max-size": "1m"}}}),
                json!({"LogConfig": {"Type": "syslog", "Config": {"max-size": "1m"}}}),
            ),
            (json!({"group_add": [100, "video"]}), json!({"GroupAdd": ["100", "video"]})),
            (
                json!({"binds": {"/a": {"bind": "/b", "mode": "ro"}, "c": {"bind": "/d"}, "e": "/f"}}),
                json!({"Binds": ["/a:/b:ro", "c:/d:rw", "e:/f:rw"]}),
            ),
            (
                json!({"binds": {"/a": {"bind": "/b", "ro": true, "propagation": "rslave"}}}),
                json!({"Binds": ["/a:/b:ro,rslave"]}),
            ),
            (json!({"binds": ["/a:/b"]}), json!({"Binds": ["/a:/b"]})),
            (json!({"links": {"db": "database"}}), json!({"Links": ["db:database"]})),
            (json!({"links": [["db", "database"], "x"]}), json!({"Links": ["db:database", "x"]})),
            (
                json!({"port_bindings": {"80": 8080, "81/udp": ["127.0.0.1", 9000], "82": null, "83": [1, "2"]}}),
                json!({"PortBindings": {
                    "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
                    "81/udp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}],
                    "82/tcp": [{"HostIp": "", "HostPort": ""}],
                    "83/tcp": [{"HostIp": "", "HostPort": "1"}, {"HostIp": "", "HostPort": "2"}],
                }}),
            ),
            (
                json!({"port_bindings": {"80": ["127.0.0.1"], "81": {"HostPort": 5, "host_ip": "::1"}}}),
                json!({"PortBindings": {
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
                    "81/tcp": [{"HostIp": "::1", "HostPort": "5"}],
                }}),
            ),
            (
                json!({"mem_swappiness": 0, "cpu_rt_period": 1, "cpu_rt_runtime": 2, "cgroupns": "host"}),
                json!({
                    "MemorySwappiness": 0, "CpuRealtimePeriod": 1, "CpuRealtimeRuntime": 2, "CgroupnsMode": "host",
                }),
            ),
            (
                json!({"read_only": true, "mem_limit": "1G", "memswap_limit": -1, "mem_reservation": "1m"}),
                json!({"ReadonlyRootfs": true, "Memory": 1 << 30, "MemorySwap": -1, "MemoryReservation": 1 << 20}),
            ),
            (
                json!({"device_read_bps": [{"Path": "/dev/sda", "Rate": "1M"}, {"path": "/dev/sdb", "rate": 5}]}),
                json!({"BlkioDeviceReadBps": [
                    {"Path": "/dev/sda", "Rate": 1 << 20}, {"Path": "/dev/sdb", "Rate": 5},
                ]}),
            ),
            (
                json!({"device_write_iops": [{"Path": "/dev/sda", "Rate": 5}], "blkio_weight": 10}),
                json!({"BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 5}], "BlkioWeight": 10}),
            ),
            (
                json!({"restart_policy": {"name": "on-failure", "maximum_retry_count": 2}, "sysctls": {"a.b": 1}}),
                json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}, "Sysctls": {"a.b": "1"}}),
            ),
            (
                json!({"dns": ["10.0.0.1"], "dns_opt": ["x"], "uts_mode": "host", "volumes_from": "a, b"}),
                json!({"Dns": ["10.0.0.1"], "DnsOptions": ["x"], "UTSMode": "host", "VolumesFrom": ["a", "b"]}),
            ),
            (
                json!({"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_size": "1m"}], "ipc_mode": "private"}),
                json!({
                    "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20}}],
                    "IpcMode": "private",
                }),
            ),
            (json!({"cap_add": ["A"], "oom_kill_disable": true}), json!({"CapAdd": ["A"], "OomKillDisable": true})),
            (json!({"ShmSize": "1G", "Binds": ["a:/b"]}), json!({"ShmSize": 1 << 30, "Binds": ["a:/b"]})),
        ];
        for (written, expected) in rows {
            let read = host(table(&written)).unwrap();
            assert_eq!(Value::Object(read.clone()), expected, "{written}");
            let laid = lay(&HostConfig::default(), &read).unwrap_or_else(|what| panic!("{written}: {what}"));
            assert_eq!(serde_json::to_value(laid).unwrap(), expected, "the API has no such setting");
        }
    }

    #[test]
    fn what_docker_py_takes_to_create_a_container_is_the_apis() {
        let rows = [
            (
                json!({"ports": [80, [53, "udp"], "8080/tcp"]}),
                json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8080/tcp": {}}}),
            ),
            (json!({"ports": {"80/tcp": null}}), json!({"ExposedPorts": {"80/tcp": {}}})),
            (
                json!({"command": "start.sh 'a b'", "entrypoint": "tini --"}),
                json!({"Cmd": ["start.sh", "a b"], "Entrypoint": ["tini", "--"]}),
            ),
            (json!({"command": ["a", "b c"]}), json!({"Cmd": ["a", "b c"]})),
            (
                json!({"healthcheck": {"test": "curl x", "interval": 5, "start_period": 7}}),
                json!({"Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 5, "StartPeriod": 7}}),
            ),
            (
                json!({"stdin_open": true, "tty": true, "user": 1000}),
                json!({"OpenStdin": true, "Tty": true, "User": "1000"}),
            ),
            (json!({"volumes": ["/a", "/b"]}), json!({"Volumes": {"/a": {}, "/b": {}}})),
            (json!({"volumes": "/a"}), json!({"Volumes": {"/a": {}}})),
            (json!({"labels": ["a"]}), json!({"Labels": {"a": ""}})),
            (json!({"labels": {"a": 1}}), json!({"Labels": {"a": "1"}})),
            (json!({"environment": {"A": 1, "B": "x", "C": null}}), json!({"Env": ["A=1", "B=x", "C"]})),
            (json!({"environment": ["A=1"]}), json!({"Env": ["A=1"]})),
            (
                json!({"networking_config": {"EndpointsConfig": {"a": {"Aliases": ["b"]}}}, "stop_timeout": 3}),
                json!({"NetworkingConfig": {"EndpointsConfig": {"a": {"Aliases": ["b"]}}}, "StopTimeout": 3}),
            ),
            (json!({"detach": true, "use_config_proxy": false}), json!({})),
        ];
        for (written, expected) in rows {
            let read = create(table(&written)).unwrap().body;
            assert_eq!(Value::Object(read.clone()), expected, "{written}");
            let laid = lay(&ContainerCreateBody::default(), &read).unwrap_or_else(|what| panic!("{written}: {what}"));
            assert_eq!(serde_json::to_value(laid).unwrap(), expected, "the API has no such setting");
        }
        let written = json!({"mac_address": "02:42:ac:11:00:02", "runtime": "runsc", "platform": "linux/arm64",
                             "host_config": {"shm_size": "1G"}});
        let read = create(table(&written)).unwrap();
        assert_eq!(Value::Object(read.host), json!({"Runtime": "runsc", "ShmSize": 1 << 30}));
        assert_eq!(
            (read.platform.as_deref(), read.mac_address.as_deref()),
            (Some("linux/arm64"), Some("02:42:ac:11:00:02"))
        );
    }

    #[test]
    fn mounts_of_docker_py_are_the_apis() {
        let rows = [
            (
                json!({"type": "bind", "source": "/a", "target": "/b", "propagation": "rslave", "read_only": true}),
                json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
                       "BindOptions": {"Propagation": "rslave"}}),
            ),
            (
                json!({"target": "/b", "source": "v", "no_copy": true, "labels": {"a": "b"}, "subpath": "s",
                       "driver_config": {"name": "local", "options": {"type": "nfs"}}}),
                json!({"Target": "/b", "Source": "v", "VolumeOptions": {
                    "NoCopy": true, "Labels": {"a": "b"}, "Subpath": "s",
                    "DriverConfig": {"Name": "local", "Options": {"type": "nfs"}},
                }}),
            ),
            (
                json!({"type": "tmpfs", "target": "/t", "tmpfs_size": "64m", "tmpfs_mode": 0o700}),
                json!({"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o700}}),
            ),
            (
                json!({"Target": "/b", "VolumeOptions": {"NoCopy": true}, "labels": {"a": "b"}, "consistency": "cached"}),
                json!({"Target": "/b", "Consistency": "cached", "VolumeOptions": {"NoCopy": true, "Labels": {"a": "b"}}}),
            ),
        ];
        for (written, expected) in rows {
            let read = mount(table(&written)).unwrap();
            assert_eq!(Value::Object(read.clone()), expected, "{written}");
            let laid = lay(&Mount::default(), &read).unwrap_or_else(|what| panic!("{written}: {what}"));
            assert_eq!(serde_json::to_value(laid).unwrap(), expected, "the API has no such setting");
        }
    }

    #[test]
    fn what_docker_py_would_not_take_is_said() {
        for written in [
            json!({"devices": "all"}),
            json!({"devices": ["a:b:c:d"]}),
            json!({"mem_limit": "much"}),
            json!({"extra_hosts": 3}),
            json!({"tmpfs": [3]}),
            json!({"port_bindings": [80]}),
            json!({"port_bindings": {"80": [[1, 2, 3]]}}),
            json!({"links": [["a"]]}),
            json!({"binds": {"a": {"mode": "rw"}}}),
            json!({"group_add": 3}),
            json!({"mounts": ["/a"]}),
        ] {
            let name = table(&written).keys().next().unwrap();
            let what = host(table(&written)).unwrap_err();
            assert!(what.starts_with(name.as_str()), "{written}: {what}");
        }
        for written in [
            json!({"command": "'open"}),
            json!({"image": "lab"}),
            json!({"name": "x"}),
            json!({"platform": 3}),
            json!({"environment": 3}),
            json!({"host_config": []}),
        ] {
            let name = table(&written).keys().next().unwrap();
            let what = create(table(&written)).unwrap_err();
            assert!(what.starts_with(name.as_str()), "{written}: {what}");
        }
    }
}
