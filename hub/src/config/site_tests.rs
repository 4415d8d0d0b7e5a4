use super::super::Environment;
use super::*;

fn read(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in
        [("secret", "word of bari"), ("cnaf.kubeconfig", "{}"), ("copy.kubeconfig", "{}"), ("bari.kubeconfig", "{ }")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let file = folder.path().join("specola.toml");
    let place = folder.path().display().to_string();
    std::fs::write(&file, text.replace("PLACE", &place)).unwrap();
    Config::load(Some(&file), &Environment::new())
        .map_err(|errors| errors.to_string().replace(&format!("{place}/"), ""))
}

const TWO: &str = r#"
[hub]
site = "cnaf"
[spawner]
driver = "kubernetes"
mem_limit = "1G"
[spawner.kubernetes]
image = "lab:1"
namespace = "labs"

[[sites]]
name = "cnaf"
proxy_url = "https://cnaf.example"
[sites.spawner]
kubeconfig = "PLACE/cnaf.kubeconfig"
[[sites]]
name = "bari"
display_name = "Bari"
[sites.spawner]
kubeconfig = "PLACE/bari.kubeconfig"
namespace = "people"
"#;

#[test]
fn what_a_site_says_is_laid_over_the_section_of_the_driver() {
    let config = read(TWO).unwrap();
    let told: Vec<_> = config
        .sites
        .iter()
        .map(|site| {
            let (spawner, kubernetes) = (site.spawner_of(&config), &site.spawner_of(&config).kubernetes);
            let file = kubernetes.kubeconfig.as_ref().unwrap().file_name().unwrap().to_owned();
            (
                site.shown(),
                file,
                kubernetes.namespace.clone().unwrap(),
                kubernetes.shape.image.clone(),
                spawner.mem_limit,
            )
        })
        .collect();
    let image = Some("lab:1".to_owned());
    let limit = config.spawner.mem_limit;
    assert!(limit.is_some());
    assert_eq!(
        told,
        [
            ("cnaf", "cnaf.kubeconfig".into(), "labs".into(), image.clone(), limit),
            ("Bari", "bari.kubeconfig".into(), "people".into(), image, limit),
        ]
    );
    assert!(config.spawner.kubernetes.kubeconfig.is_none(), "the section is as it was");
}

#[test]
fn what_is_wrong_with_a_site_is_told_with_its_place() {
    let with = |from: &str, to: &str| read(&TWO.replace(from, to)).unwrap_err();
    for (from, to, expected) in [
        (
            "namespace = \"people\"",
            "nmespace = \"people\"",
            "specola.toml:21: sites[1].spawner.nmespace is not an option of [spawner.kubernetes]. Did you mean \"namespace\"?",
        ),
        (
            "namespace = \"people\"",
            "port = \"8888\"",
            "specola.toml:21: sites[1].spawner.port has to be a whole number",
        ),
        ("namespace = \"people\"", "ip = \"x\"", "specola.toml:21: sites[1].spawner.ip has to be an IP address"),
        ("bari.kubeconfig", "none", "specola.toml:20: sites[1].spawner.kubeconfig cannot be read"),
        ("image = \"lab:1\"\n", "", "spawner.kubernetes.image is missing"),
        (
            "proxy_url = \"https://cnaf.example\"",
            "proxy_url = \"https://cnaf.example/x\"",
            "sites[0].proxy_url has to be scheme, host and port alone",
        ),
        ("site = \"cnaf\"", "", "hub.site is missing"),
        ("site = \"cnaf\"", "site = \"pisa\"", "hub.site is no site"),
        ("name = \"bari\"", "name = \"cnaf\"", "sites[1].name is the name of two sites"),
        ("name = \"bari\"", "name = \"bari-\"", "sites[1].name is no name of a site"),
        ("mem_limit = \"1G\"", "devices = { gpu = [\"GPU-1\"] }", "spawner.devices names devices"),
    ] {
        let told = with(from, to);
        assert!(told.contains(expected), "{to}: {told}");
    }
    // Where one site has an image of its own, the other is the one that lacks it.
    let told = with("image = \"lab:1\"\n", "").lines().count();
    assert_eq!(told, 1, "said once");
    let one = TWO.replace("image = \"lab:1\"\n", "");
    let told = read(&one.replace("namespace = \"people\"", "image = \"lab:2\"")).unwrap_err();
    assert!(told.contains("sites[0].spawner.image is missing") && !told.contains("sites[1]"), "{told}");
}

#[test]
fn two_sites_that_lead_to_one_place_are_refused() {
    let apart = TWO.replace("namespace = \"people\"", "");
    read(&apart).unwrap();
    read(&TWO.replace("bari.kubeconfig", "copy.kubeconfig")).unwrap();
    let copied = apart.replace("bari.kubeconfig", "copy.kubeconfig");
    let told = read(&copied).unwrap_err();
    assert!(told.contains("sites[1].spawner leads to where servers of the site cnaf are"), "{told}");
    for apart in ["context = \"bari\"", "k8s_api_host = \"https://bari.example:6443\""] {
        read(&format!("{copied}{apart}\n")).unwrap();
    }
    let engines = |host: &str| {
        let more = format!("[sites.spawner]\nhost = \"{host}\"\n");
        read(&format!(
            "[spawner]\ndriver = \"docker\"\n[spawner.docker]\nimage = \"i\"\nhost = \"tcp://a.example:1\"\n\
             [[sites]]\nname = \"cnaf\"\n[[sites]]\nname = \"bari\"\n{more}"
        ))
    };
    engines("tcp://b.example:1").unwrap();
    assert!(engines("tcp://a.example:1").unwrap_err().contains("sites[1].spawner leads to"));
}

#[test]
fn a_secret_of_a_site_comes_from_a_file_in_place_of_that_of_the_section() {
    let text = r#"
[spawner]
driver = "external"
[spawner.external]
url = "https://cnaf.example/spawner"
secret = "word of cnaf"
[[sites]]
name = "cnaf"
[[sites]]
name = "bari"
[sites.spawner]
url = "https://bari.example/spawner"
secret_file = "PLACE/secret"
"#;
    let config = read(text).unwrap();
    let secrets: Vec<_> =
        config.sites.iter().map(|site| site.spawner_of(&config).external.secret.clone().unwrap()).collect();
    assert_eq!(secrets.iter().map(|secret| secret.expose()).collect::<Vec<_>>(), ["word of cnaf", "word of bari"]);
    let told = read(&text.replace("PLACE/secret", "PLACE/none")).unwrap_err();
    assert!(told.contains("sites[1].spawner.secret_file names"), "{told}");
}

#[test]
fn the_hook_of_a_site_that_is_shown_pods_has_its_secret_and_is_checked() {
    let common = "url = \"https://cnaf.example/pod\", secret_file = \"PLACE/secret\"";
    let own = "url = \"https://bari.example/pod\", secret = \"own\"";
    let with = |own: &str| {
        TWO.replace("image = \"lab:1\"", &format!("image = \"lab:1\"\nmodify_pod_hook = {{ {common} }}"))
            .replace("namespace = \"people\"", &format!("namespace = \"people\"\nmodify_pod_hook = {{ {own} }}"))
    };
    let secrets = |text: &str| {
        let config = read(text).unwrap();
        let hooks = config.sites.iter().map(|site| site.spawner_of(&config).kubernetes.modify_pod_hook.clone());
        hooks.map(|hook| hook.secret.unwrap().expose().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(secrets(&with(own)), ["word of bari", "own"]);
    assert_eq!(secrets(&with(&own.replace("secret =", "timeout = 1, secret ="))), ["word of bari", "own"]);
    let filed = own.replace("secret = \"own\"", "secret_file = \"PLACE/secret\"");
    assert_eq!(secrets(&with(&filed)), ["word of bari"; 2]);
    for (own, expected) in [
        (filed.replace("PLACE/secret", "PLACE/none"), "sites[1].spawner.modify_pod_hook.secret_file names"),
        (format!("{filed}, secret = \"own\""), "sites[1].spawner.modify_pod_hook.secret_file and the same option"),
        (format!("{own}, timeout = 0"), "sites[1].spawner.modify_pod_hook.timeout has to be more than 0"),
        (format!("{own}, command = [\"true\"]"), "sites[1].spawner.modify_pod_hook.url and command are both set"),
    ] {
        let told = read(&with(&own)).unwrap_err();
        assert!(told.contains(expected), "{own}: {told}");
    }
    let exposed = read(&with(&own.replace("https", "http"))).unwrap();
    let said = crate::config::validate::warnings(&exposed)
        .into_iter()
        .filter(|warning| warning.contains("unencrypted"))
        .collect::<Vec<_>>();
    assert!(said.len() == 1 && said[0].contains("sites[1].spawner.modify_pod_hook.url"), "{said:?}");
}

#[test]
fn executors_need_namespaces_at_each_site() {
    let profile = "[[options.flavours]]\nname = \"spark\"\nspawner_override = { executors = { pods = 4 } }\n";
    let text = format!("{TWO}executor_namespaces = {{}}\n{profile}");
    let told = read(&text).unwrap_err();
    assert!(told.contains("executors, and there are no namespaces") && told.lines().count() == 1, "{told}");
    read(&text.replace("kubeconfig = \"PLACE/cnaf", "executor_namespaces = {}\nkubeconfig = \"PLACE/cnaf")).unwrap();
}

#[test]
fn services_are_for_all_servers_of_a_site_or_none() {
    let choice =
        "profile_options = { s = { choices = { on = { kubespawner_override = { services_enabled = true } } } } }";
    let text = format!("{TWO}[[options.profile_list]]\ndisplay_name = \"served\"\n{choice}\n");
    let told = read(&text).unwrap_err();
    assert!(told.contains("options.profile_list[0] has services_enabled") && told.lines().count() == 1, "{told}");
    read(&text.replace("services_enabled = true", "services_enabled = false")).unwrap();
    read(&text.replace("image = \"lab:1\"", "image = \"lab:1\"\nservices_enabled = true")).unwrap();
}

#[test]
fn requests_to_another_site_in_clear_are_worth_a_warning() {
    let of = |url: &str| {
        let text = TWO.replace("https://cnaf.example", url);
        let warnings = warnings(&read(&text).unwrap());
        warnings.iter().any(|warning| warning.contains("unencrypted"))
    };
    assert!(of("http://cnaf.example:8000"));
    assert!(!of("https://cnaf.example") && !of("http://127.0.0.1:8000") && !of("http://[::1]:8000"));
}
