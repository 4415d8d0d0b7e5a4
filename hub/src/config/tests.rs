//! Reading a configuration as a whole: what is told, where, and with which remedy.

use std::os::unix::fs::PermissionsExt;

use super::*;

struct Case {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Environment::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Config, ConfigErrors> {
        Config::load(Some(&self.file("specola.toml", text)), &self.environment)
    }

    /// The lines told, with the folder's name taken off.
    fn errors(&self, text: &str) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let told = self.load(text).expect_err("this configuration should be refused").to_string();
        told.replace(&folder, "").lines().map(String::from).collect()
    }
}

fn errors(text: &str) -> Vec<String> {
    Case::new().errors(text)
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = Case::new().load("").unwrap();
    assert_eq!(config.hub.bind_url.listen(), "127.0.0.1:8000");
    assert_eq!(config.hub.hub_url(), "http://127.0.0.1:8081");
    assert_eq!(config.hub.database_url().expose(), "sqlite:///./jupyterhub.sqlite");
    assert_eq!(config.hub.oauth_token_lifetime().as_secs(), 14 * 86_400);
}

#[test]
fn a_time_of_the_proxy_that_breaks_it_is_refused_and_one_that_means_at_once_is_not() {
    let of_nothing = ["hub_wait", "drain_timeout", "route_grace", "hsts_max_age"];
    for key in of_nothing {
        assert!(Case::new().load(&format!("[proxy]\n{key} = 0")).is_ok(), "{key}");
    }
    for key in [
        "header_timeout",
        "connect_timeout",
        "pool_idle",
        "upload_idle",
        "stall_timeout",
        "tls_handshake_timeout",
        "websocket_handshake_timeout",
        "activity_interval",
    ] {
        let told = errors(&format!("[proxy]\n{key} = 0")).join("\n");
        assert!(told.contains(&format!("proxy.{key} has to be more than 0 seconds")), "{told}");
        assert!(Case::new().load(&format!("[proxy]\n{key} = 0.001")).is_ok(), "{key}");
    }
}

#[test]
fn hosts_below_the_hubs_own_are_checked_and_name_the_hub() {
    let text = "[hub]\nbase_url = \"/x\"\nsubdomain_host = \"https://hub.example:8443/\"";
    let config = Case::new().load(text).unwrap();
    assert_eq!(config.hub.public_url.as_ref().unwrap().as_str(), "https://hub.example:8443/x");
    assert_eq!(config.hub.hosts().unwrap().of_user("alice"), "alice.hub.example");
    assert!(config.self_signed_names(None).contains(&"*.hub.example".to_owned()));
    for host in ["https://127.0.0.1", "https://hub.example/base"] {
        let told = errors(&format!("[hub]\nsubdomain_host = \"{host}\"")).join("");
        assert!(told.contains("hub.subdomain_host has to be an address with a host name and without a path"), "{told}");
    }
    let other = "[hub]\nsubdomain_host = \"https://hub.example\"\npublic_url = \"https://other.example\"";
    assert!(errors(other).join("").contains("hub.public_url has another host than hub.subdomain_host"));
}

#[test]
fn an_unknown_name_is_told_with_its_line_and_the_nearest_one() {
    assert_eq!(
        errors("[hub]\nbind_url = \"http://127.0.0.1:9000\"\n\nbind_ulr = \"x\"\n"),
        ["specola.toml:4: hub.bind_ulr is not an option of [hub]. Did you mean \"bind_url\"?"]
    );
    assert_eq!(errors("[hbu]\n"), ["specola.toml:1: hbu is not a section. Did you mean \"hub\"?"]);
    assert_eq!(
        errors("[spawner.local]\nintrrupt_timeout = 1"),
        ["specola.toml:2: spawner.local.intrrupt_timeout is not an option of [spawner.local]. \
          Did you mean \"interrupt_timeout\"?"]
    );
    assert_eq!(
        errors("[[hub.load_roles]]\nname = \"team\"\nscope = []"),
        ["specola.toml:3: hub.load_roles[0].scope is not an option of [hub.load_roles]. Did you mean \"scopes\"?"]
    );
}

#[test]
fn a_wrong_type_is_told_with_what_is_expected() {
    let table = [
        ("[hub]\nhub_port = \"8081\"", "hub.hub_port has to be a whole number from 0 to 65535. This is a text"),
        ("[hub]\nhub_port = 70000", "hub.hub_port has to be a whole number from 0 to 65535. This is a number"),
        ("[hub]\nallow_named_servers = 1", "hub.allow_named_servers has to be true or false. This is a number"),
        (
            "[spawner]\ncmd = \"lab\"",
            "spawner.cmd has to be a list in brackets, each item a text in quotes. This is a text",
        ),
        (
            "[spawner]\nmem_limit = \"2GB\"",
            "spawner.mem_limit has to be a number of bytes, or a text such as \"512M\" or \"2G\". This is a text",
        ),
        (
            "[spawner]\nstart_timeout = -1",
            "spawner.start_timeout has to be a number of seconds, 0 or more. This is a number",
        ),
        ("[spawner]\nstart_timeout = nan", "spawner.start_timeout is not a finite number"),
        (
            "[auth]\nauthenticator = \"pan\"",
            "auth.authenticator has to be one of \"password\", \"pam\", \"external\", \"demo\" or \"oidc\". Did you mean \"pam\"?",
        ),
        ("[auth]\nusername_pattern = \"(\"", "auth.username_pattern has to be a regular expression"),
        ("[pages]\naccent = \"red\"", "pages.accent has to be a colour such as \"#0b6e99\""),
        ("[hub]\nbase_url = \"/../\"", "hub.base_url has to be a path such as \"/\" or \"/jupyter/\""),
        ("[spawner]\nenvironment = { A = 1 }", "spawner.environment.A has to be a text in quotes. This is a number"),
    ];
    for (text, told) in table {
        assert_eq!(errors(text), [format!("specola.toml:2: {told}")], "{text}");
    }
    assert_eq!(errors("hub = 1"), ["specola.toml:1: hub has to be a table. This is a number"]);
    assert_eq!(
        errors("[[hub.load_roles]]\nscopes = []"),
        ["specola.toml:1: hub.load_roles[0] needs \"name\", a text in quotes"]
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let told = errors("[hub]\nhub_port = 0\nx_y_z_q = 1\n[spawner]\ncmd = []\n[log]\nlevel = \"a=b=c\"\n");
    let lines: Vec<&str> = told.iter().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(lines, ["specola.toml:2", "specola.toml:3", "specola.toml:5", "specola.toml:7"], "{told:?}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line() {
    let told = errors("[hub]\n\nbind_url = \n");
    assert!(told[0].starts_with("specola.toml:3: this is not TOML: "), "{told:?}");
    let told = errors("[hub]\nhub_port = 1\nhub_port = 2\n");
    assert!(told[0].starts_with("specola.toml:3: this is not TOML: "), "{told:?}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = Case::new()
        .with("SPECOLA_HUB__BIND_URL", "http://127.0.0.1:9000/here")
        .with("SPECOLA_HUB__ALLOW_NAMED_SERVERS", "true")
        .with("SPECOLA_AUTH__ADMIN_USERS", "ada, grace")
        .with("SPECOLA_AUTH__PASSWORD__MINIMUM_LENGTH", "12")
        .with("SPECOLA_SPAWNER__MEM_LIMIT", "1G")
        .with("SPECOLA_SPAWNER__ENVIRONMENT__Mixed_Case", "kept")
        .with("SPECOLA_HUB__LOAD_ROLES", r#"[{"name": "team", "scopes": ["self"]}]"#)
        .load("[hub]\nbind_url = \"http://127.0.0.1:1\"\n[spawner]\nenvironment = { A = \"1\" }\n")
        .unwrap();
    assert_eq!(config.hub.bind_url.listen(), "127.0.0.1:9000");
    assert_eq!(config.hub.base_path().as_str(), "/here/");
    assert!(config.hub.allow_named_servers);
    assert_eq!(config.auth.admin_users.iter().collect::<Vec<_>>(), ["ada", "grace"]);
    assert_eq!(config.auth.password.minimum_length, 12);
    assert_eq!(config.spawner.mem_limit, Some(unit::ByteSize(1 << 30)));
    assert_eq!(config.spawner.environment.len(), 2);
    assert_eq!(config.spawner.environment["Mixed_Case"], "kept");
    assert_eq!(config.hub.load_roles[0].name, "team");
}

#[test]
fn a_variable_that_sets_nothing_is_told() {
    let table = [
        ("SPECOLA_HUB__BIND_ULR", "is not an option. Did you mean \"SPECOLA_HUB__BIND_URL\"?"),
        ("SPECOLA_HUB_BIND_URL", "sets nothing. Did you mean \"SPECOLA_HUB__BIND_URL\"?"),
        ("SPECOLA_HUB__HUB_PORT", "hub.hub_port has to be a whole number from 0 to 65535"),
    ];
    for (name, told) in table {
        assert_eq!(Case::new().with(name, "x").errors(""), [format!("environment {name}: {told}")]);
    }
    assert!(Case::new().with("SPECOLA_BREAKPOINT", "x").with("SPECOLA_CONFIG", "x").load("").is_ok());
}

#[test]
fn a_secret_is_read_from_its_file_and_never_told() {
    let case = Case::new();
    let file = case.file("url", "postgresql://hub:hunter2@db/hub\n");
    let config = case.load(&format!("[hub]\ndb_url_file = {file:?}")).unwrap();
    assert_eq!(config.hub.database_url().expose(), "postgresql://hub:hunter2@db/hub");
    assert!(!format!("{config:?}").contains("hunter2"));

    let told = case.errors(&format!("[hub]\ndb_url = \"mysql://hub:hunter2@db\"\ndb_url_file = {file:?}"));
    assert!(
        told.iter().any(|line| line.starts_with("specola.toml:3: hub.db_url_file and the same option")),
        "{told:?}"
    );
    assert!(told.iter().any(|line| line.starts_with("specola.toml:2: hub.db_url has to begin")), "{told:?}");
    assert!(!told.concat().contains("hunter2"));
}

#[test]
fn jupyterhubs_variable_for_the_cookie_secret_is_honoured() {
    let secret = "ab".repeat(32);
    let config = Case::new().with("JPY_COOKIE_SECRET", &secret).load("").unwrap();
    assert!(config.hub.cookie_secret.unwrap().matches(&secret));
    let own = format!("[hub]\ncookie_secret = \"{}\"", "cd".repeat(32));
    let config = Case::new().with("JPY_COOKIE_SECRET", &secret).load(&own).unwrap();
    assert!(config.hub.cookie_secret.unwrap().matches(&"cd".repeat(32)));
    let told = Case::new().with("JPY_COOKIE_SECRET", "short").errors("");
    assert!(told[0].starts_with("environment JPY_COOKIE_SECRET: is of no use: "), "{told:?}");
}

#[test]
fn the_demo_login_is_refused_on_an_address_others_can_reach() {
    let demo = "[auth]\nauthenticator = \"demo\"\n";
    assert!(Case::new().load(demo).is_ok());
    for bind in ["http://:8000", "http://0.0.0.0:8000", "http://hub.example.org:8000", "http://[::]:8000"] {
        let told = errors(&format!("{demo}[hub]\nbind_url = \"{bind}\""));
        assert!(told[0].starts_with("specola.toml:2: auth.authenticator lets anybody in"), "{told:?}");
    }
}

#[test]
fn who_can_log_in_is_worth_a_warning() {
    let warned = |text: &str, about: &str| {
        let warnings = Case::new().load(text).unwrap().warnings();
        warnings.iter().any(|warning| warning.starts_with(about))
    };
    assert!(warned("[auth]\nauthenticator = \"pam\"", "Nobody can log in"));
    assert!(!warned("[auth]\nauthenticator = \"pam\"\nadmin_users = [\"ada\"]", "Nobody can log in"));
    // PAM tells no groups, and a program of the operator's does.
    let by_group = |method: &str| format!("[auth]\nauthenticator = \"{method}\"\nallowed_groups = [\"users\"]\n");
    assert!(warned(&by_group("pam"), "Nobody can log in: this method tells no groups"));
    let external = by_group("external") + "[auth.external]\ncommand = [\"/bin/true\"]";
    assert!(!warned(&external, "Nobody can log in"));
    let wheel = "[auth]\nauthenticator = \"pam\"\n[auth.pam]\nadmin_groups = [\"wheel\"]";
    assert!(!warned(wheel, "Nobody can log in"));
    assert!(!warned("", "Nobody can log in"));
    assert!(warned("[auth]\nauthenticator = \"pam\"\nallow_all = true", "Everybody with an account"));
    assert!(warned("[culler]\nenabled = true\ntimeout = 60", "culler.timeout is less"));
    assert!(!warned("[culler]\ntimeout = 60", "culler.timeout is less"), "while it is off");
    assert!(warned("[hub]\nbind_url = \"http://:8000\"", "Passwords would travel unencrypted"));
    assert!(!warned("[hub]\nbind_url = \"http://:8000\"\n[proxy]\ntls = \"self-signed\"", "Passwords would travel"));
    assert!(!warned("[hub]\nbind_url = \"http://:8000\"\npublic_url = \"https://hub.org\"", "Passwords would travel"));
}

/// The last part of the option that a message begins with, as a file writes it.
fn told_key(told: &str) -> &str {
    let option = told.split([' ', '[']).next().unwrap();
    if option.contains("custom_scopes") { "\"read:x\"" } else { option.rsplit('.').next().unwrap() }
}

#[test]
fn rules_between_options_are_checked() {
    let table = [
        ("[hub]\nbind_url = \"https://:8443\"", "hub.bind_url is an https address, and there is no certificate for it"),
        ("[proxy]\nssl_cert = \"/x\"", "proxy.ssl_key is missing"),
        ("[proxy]\ntls = \"files\"\nssl_key = \"/x\"", "proxy.ssl_cert is missing"),
        ("[proxy]\ntls = \"acme\"", "proxy.acme_domains is empty"),
        ("[proxy]\nacme_secret = \"a\"", "proxy.acme_secret counts with tls = \"acme\" only"),
        (
            "[proxy]\ntls = \"acme\"\nacme_domains = [\"a.org\"]\nacme_secret = \"a/b/c\"",
            "proxy.acme_secret has to be NAME",
        ),
        ("[proxy]\ntls = \"acme\"\nacme_domains = [\"*.hub.org\"]", "proxy.acme_domains cannot have a name with *"),
        ("[proxy]\ntls = \"acme\"\nacme_domains = [\"a b\"]", "proxy.acme_domains[0] has to be a host name"),
        (
            "[proxy]\ntls = \"acme\"\nacme_domains = [\"a.org\"]\nacme_challenge = \"http-01\"",
            "proxy.acme_challenge needs redirect_port",
        ),
        ("[proxy]\nredirect_port = 80", "proxy.redirect_port leads to https, which is off"),
        ("[proxy]\ntls = \"self-signed\"\nredirect_port = 8000", "proxy.redirect_port is the port of something else"),
        ("[hub]\nhub_port = 8000", "hub.hub_port is the port of bind_url as well"),
        ("[hub]\nspawn_throttle_retry_range = [60, 30]", "hub.spawn_throttle_retry_range begins with the larger"),
        (
            "[hub]\nspawn_throttle_retry_range = [60]",
            "hub.spawn_throttle_retry_range has to be a list in brackets of 2",
        ),
        ("[hub]\napi_page_default_limit = 500", "hub.api_page_default_limit is more than api_page_max_limit"),
        ("[hub]\ndb_url = \"mysql://x\"", "hub.db_url has to begin with sqlite:/// or postgresql://"),
        ("[auth]\nallowed_users = [\"a/b\"]", "auth.allowed_users contains \"a/b\""),
        ("[hub.custom_scopes]\n\"read:x\" = {}", "hub.custom_scopes.read:x has to begin with \"custom:\""),
        ("[culler]\ntimeout = 0", "culler.timeout has to be more than 0 seconds"),
        ("[spawner]\nmem_guarantee = 2\nmem_limit = 1", "spawner.mem_guarantee is more than mem_limit"),
    ];
    for (text, told) in table {
        let lines = errors(text);
        let (at, said) = lines[0].split_once(": ").unwrap();
        assert!(said.starts_with(told), "{text}: {lines:?}");
        // What is not written is looked for where its section begins.
        let line = text.lines().position(|line| line.starts_with(told_key(told))).map_or(1, |line| line + 1);
        assert_eq!(at, format!("specola.toml:{line}"), "{text}: {lines:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let missing = Config::load(Some(Path::new("/no/such/file.toml")), &Environment::new()).unwrap_err();
    assert!(missing.to_string().starts_with("/no/such/file.toml cannot be read: "), "{missing}");
    assert!(Config::load(Some(Path::new("/")), &Environment::new()).is_err());
    let case = Case::new();
    let path = case.folder.path().join("latin");
    std::fs::write(&path, b"\xff").unwrap();
    let told = Config::load(Some(&path), &Environment::new()).unwrap_err().to_string();
    assert!(told.ends_with("is not a text in UTF-8"), "{told}");
}

#[test]
fn a_service_is_refused_with_its_line_and_what_to_do() {
    let service = |rest: &str| format!("[[hub.services]]\nname = \"grades\"\n{rest}\n");
    for (text, told) in [
        (service("url = \"wss://127.0.0.1:1\""), "hub.services[0].url does not begin with http:// or https://"),
        (service("url = \"grades:80\""), "hub.services[0].url does not begin with http://"),
        (service("api_token = \"short\""), "hub.services[0].api_token is of no use"),
        (service("cwd = \"/srv\""), "hub.services[0].cwd says how to run a command, and there is none"),
        (service("oauth_client_id = \"grades\""), "hub.services[0] cannot be an OAuth client"),
        (service("oauth_no_confirm = true"), "hub.services[0] cannot be an OAuth client"),
        (service("url = \"http://h:1\"\n[[hub.services]]\nname = \"grades\""), "is a second service \"grades\""),
        (service("colour = \"red\""), "colour"),
        (service("command = \"run\""), "command"),
        ("[[hub.services]]\nname = \"../x\"\n".to_owned(), "hub.services[0].name is of no use"),
        ("[[hub.services]]\nadmin = true\n".to_owned(), "name"),
        ("[[hub.api_tokens]]\nname = \"alice\"\n".to_owned(), "hub.api_tokens[0] has no token"),
    ] {
        let lines = errors(&text);
        assert!(lines.iter().any(|line| line.contains(told)), "{text}{lines:#?}");
    }
    let twice = "[[hub.service_tokens]]\nname = \"a\"\ntoken = \"0123456789\"\n\
                 [[hub.api_tokens]]\nname = \"b\"\ntoken = \"0123456789\"\n";
    let lines = errors(twice);
    assert!(lines.iter().any(|line| line.contains("is the same token as another one here")), "{lines:#?}");
    assert!(!lines.concat().contains("0123456789"), "secrets are not told");
}

#[test]
fn the_token_of_a_service_is_read_from_its_file() {
    let case = Case::new();
    let file = case.file("token", "a-token-of-grades\n");
    let text = format!("[[hub.services]]\nname = \"grades\"\napi_token_file = {:?}\n", file.display().to_string());
    let config = case.load(&text).unwrap();
    assert_eq!(config.hub.services[0].api_token.as_ref().unwrap().expose(), "a-token-of-grades");
    assert!(config.hub.services[0].timeout().duration().as_secs() == 30 && !config.hub.services[0].is_managed());
}

/// The least that a provider needs.
const IAM: &str = "[auth]\nauthenticator = \"oidc\"\n[[auth.providers]]\nname = \"iam\"\npreset = \"indigo-iam\"\n\
                   issuer = \"https://iam.example.org/\"\nclient_id = \"hub\"\n";

/// H13: who can log in is said before anybody tries.
#[test]
fn a_provider_that_lets_in_nobody_or_everybody_is_worth_a_warning() {
    let warned = |more: &str, about: &str| {
        let warnings = Case::new().load(&format!("{IAM}{more}")).unwrap().warnings();
        warnings.iter().any(|warning| warning.starts_with(about))
    };
    assert!(warned("", "Nobody of the provider \"iam\" can log in"));
    for rule in ["allowed_groups = [\"a\"]", "admin_groups = [\"a\"]", "owner_subjects = [\"1\"]", "allow_all = true"] {
        assert!(!warned(rule, "Nobody of the provider"), "{rule}");
    }
    assert!(!warned("[auth.demo]\n", "Nobody can log in"), "the method without passwords is no way in of its own");
    assert!(warned("allow_all = true", "Everybody with an account at the provider \"iam\""));
    // By group, and nobody is asked whether somebody still is in it.
    let once = "Groups of the provider \"iam\" are looked at when somebody logs in, and never again";
    for rule in ["allowed_groups = [\"a\"]", "admin_groups = [\"a\"]"] {
        assert!(warned(rule, once), "{rule}");
        let of_all = IAM.replace("[auth]\n", &format!("[auth]\n{rule}\n"));
        assert!(Case::new().load(&of_all).unwrap().warnings().iter().any(|one| one.starts_with(once)), "{rule}");
        let kept = IAM.replace("[auth]\n", "[auth]\nenable_auth_state = true\n");
        let warnings = Case::new().load(&format!("{kept}{rule}")).unwrap().warnings();
        assert!(!warnings.iter().any(|one| one.starts_with(once)), "{warnings:?}");
    }
    assert!(!warned("allow_all = true", once));
    let exposed = IAM.replace("https://iam", "http://iam");
    let warnings = Case::new().load(&exposed).unwrap().warnings();
    assert!(warnings.iter().any(|warning| warning.starts_with("Tokens would travel unencrypted")), "{warnings:?}");
}

#[test]
fn a_provider_is_refused_with_its_line_and_what_to_do() {
    let second = "[[auth.providers]]\nname = \"google\"\npreset = \"google\"\nclient_id = \"x\"\n";
    let table = [
        (
            format!("{IAM}scopes = []"),
            "specola.toml:8: auth.providers[0].scopes is not an option of [auth.providers]. Did you mean \"scope\"?",
        ),
        (IAM.replace("client_id = \"hub\"", ""), "auth.providers[0].client_id is empty"),
        (IAM.replace("name = \"iam\"", "name = \"I AM\""), "auth.providers[0].name has to be 1 to 32"),
        (IAM.replace("issuer = \"https://iam.example.org/\"", ""), "auth.providers[0].issuer is not written"),
        (
            format!("{IAM}extra_authorize_params = {{ state = \"x\" }}"),
            "auth.providers[0].extra_authorize_params contains",
        ),
        (format!("{IAM}{second}"), "auth.providers[0].username_prefix has to be written"),
        (format!("{IAM}timeout = 0"), "auth.providers[0].timeout has to be more than 0"),
        ("[auth]\nauthenticator = \"oidc\"".to_owned(), "auth.authenticator is \"oidc\", and there are no providers"),
        ("[auth]\nauto_login = true".to_owned(), "auth.auto_login sends people on to a provider"),
        (IAM.replace("\"oidc\"", "\"pam\"\nauto_login = true"), "auth.auto_login sends people on where there is one"),
    ];
    for (text, told) in table {
        let errors = errors(&text);
        assert!(errors.iter().any(|error| error.contains(told)), "{text}\n{errors:#?}");
    }
    let both = format!("{IAM}username_prefix = \"\"\n{second}username_prefix = \"g-\"");
    assert!(Case::new().load(&both).is_ok());
}

#[test]
fn the_secret_of_a_client_is_read_from_its_file() {
    let case = Case::new();
    let file = case.file("secret", "s3cret\n");
    let text = format!("{IAM}client_secret_file = {:?}", file.display().to_string());
    let config = case.load(&text).unwrap();
    assert_eq!(config.auth.providers[0].client_secret.as_ref().unwrap().expose(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(errors(&format!("{IAM}client_secret_file = \"/no/such/file\""))[0].contains("cannot be read"));
}

/// The least that a storage needs.
const STORAGE: &str = "[auth]\nauthenticator = \"oidc\"\nenable_auth_state = true\n[[auth.providers]]\nname = \"iam\"\n\
                       preset = \"indigo-iam\"\nissuer = \"https://iam.example.org/\"\nclient_id = \"hub\"\n\
                       [[storage]]\nname = \"main\"\nendpoint = \"https://s3.example.org\"\n";

#[test]
fn a_storage_is_refused_with_its_line_and_what_to_do() {
    let role = "[[storage.roles]]\nrole_arn = \"arn:aws:iam:::role/x\"\n";
    let bucket = |rest: &str| format!("{STORAGE}[[storage.buckets]]\n{rest}");
    let table = [
        (format!("{STORAGE}roles = [{{ arn = 1 }}]"), "storage[0].roles[0].arn is not an option"),
        (STORAGE.replace("\"main\"", "\"my store\""), "storage[0].name has to be 1 to 32"),
        (STORAGE.replace("endpoint = \"https://s3.example.org\"\n", ""), "storage[0].endpoint is not written"),
        (format!("{STORAGE}dialect = \"ceph\""), "storage[0].roles is empty, and this object store gives nothing"),
        (format!("{STORAGE}dialect = \"ceph\"\n[[storage.roles]]\n"), "storage[0].roles[0].role_arn is empty"),
        (format!("{STORAGE}{role}{role}"), "storage[0].roles[0] is for everybody"),
        (format!("{STORAGE}duration = 0"), "storage[0].duration has to be from 1"),
        (format!("{STORAGE}provider = \"google\""), "storage[0].provider is \"google\", which is no provider"),
        (format!("{STORAGE}token = \"id\"\naudience = \"a\""), "storage[0].audience is of no use"),
        (format!("{STORAGE}[[storage]]\nname = \"main\"\ndialect = \"aws\""), "storage[1] is a second storage"),
        (STORAGE.replace("enable_auth_state = true", ""), "storage needs people's tokens, and none are kept"),
        (bucket("folder = \"/s3/a\""), "storage[0].buckets[0].bucket is empty"),
        (bucket("bucket = \"a\"\nfolder = \"/s3/../etc\""), "storage[0].buckets[0].folder has to be a path"),
        (bucket("bucket = \"{group}\"\nfolder = \"/s3/g\""), "storage[0].buckets[0].groups is empty"),
    ];
    for (text, told) in table {
        let errors = errors(&text);
        assert!(errors.iter().any(|error| error.contains(told)), "{text}\n{errors:#?}");
    }
    let own = "bucket = \"{username}\"\nfolder = \"/s3/{username}\"\n[[storage]]\nname = \"deep\"\ndialect = \"aws\"\n";
    let config = Case::new().load(&format!("{}{role}", bucket(own))).unwrap();
    assert_eq!(config.storage[1].endpoint(), "https://s3.us-east-1.amazonaws.com");
    assert_eq!(config.storage[1].sts_endpoint(), "https://sts.us-east-1.amazonaws.com/");
    assert_eq!(config.storage[0].sts_endpoint(), "https://s3.example.org/");
    assert!(config.digests.contains_key("storage"), "a change of it is told");
    let warned = |more: &str, about: &str| {
        let warnings = Case::new().load(&format!("{STORAGE}{more}")).unwrap().warnings();
        warnings.iter().any(|warning| warning.starts_with(about))
    };
    assert!(warned("duration = 900", "The storage \"main\" gives credentials for 900 seconds"));
    assert!(warned("sts_endpoint = \"http://sts.example.org\"", "Tokens and keys would travel unencrypted"));
    assert!(!warned("", "Tokens and keys") && !warned("", "The storage"));
}

#[test]
fn storages_are_set_by_one_variable() {
    let mut environment = Environment::new();
    let text = r#"[{"name": "main", "endpoint": "https://s3.example.org"}]"#;
    environment.insert("SPECOLA_STORAGE".into(), text.into());
    environment.insert("SPECOLA_AUTH__ENABLE_AUTH_STATE".into(), "true".into());
    environment.insert("SPECOLA_AUTH__AUTHENTICATOR".into(), "oidc".into());
    let provider =
        r#"[{"name": "iam", "preset": "indigo-iam", "issuer": "https://iam.example.org", "client_id": "hub"}]"#;
    environment.insert("SPECOLA_AUTH__PROVIDERS".into(), provider.into());
    assert_eq!(Config::load(None, &environment).unwrap().storage[0].name, "main");
    environment.insert("SPECOLA_STORAGE".into(), "nonsense".into());
    assert!(Config::load(None, &environment).is_err());
}

#[test]
fn devices_are_named_once_and_by_what_stays() {
    let told =
        |devices: &str| Case::new().load(&format!("[spawner.devices]\n{devices}\n")).map_err(|told| told.to_string());
    for (devices, expected) in [
        (r#""nvidia.com/gpu" = []"#, "specola.toml:2: spawner.devices.nvidia.com/gpu has to name devices"),
        (r#""nvidia.com/gpu" = ["0"]"#, "numbers change"),
        (r#""nvidia.com/gpu" = ["GPU-1,GPU-2"]"#, "which is no device"),
        (r#""nvidia.com/gpu" = ["GPU 1"]"#, "which is no device"),
        ("a = [\"GPU-1\"]\nb = [\"GPU-1\"]", "is there twice"),
        ("a = [\"GPU-1\"]\nb = [\"MIG-GPU-1/1/0\"]", "\"GPU-1\" and a slice of it"),
        (r#""nvidia.com/gpu" = "GPU-1""#, "has to be a list"),
    ] {
        let text = told(devices).expect_err(devices);
        assert!(text.contains(expected), "{devices}: {text}");
    }
    let config = told("\"nvidia.com/gpu\" = [\"GPU-1\", \"/dev/nvidia1\"]").unwrap();
    assert_eq!(config.spawner.devices["nvidia.com/gpu"], ["GPU-1", "/dev/nvidia1"]);
    assert!(config.warnings().iter().any(|one| one.contains("nothing keeps them from using others")));
}

#[test]
fn what_is_said_of_containers_is_checked() {
    let docker = |rest: &str| format!("[spawner]\ndriver = \"docker\"\n[spawner.docker]\n{rest}");
    let image = "image = \"lab:1\"\n";
    let table = [
        (docker(""), "spawner.docker.image is missing"),
        (docker(&format!("{image}network_name = \"host\"")), "spawner.docker.network_name cannot be the machine's own"),
        (docker(&format!("{image}host = \"ssh://engine\"")), "spawner.docker.host is not understood"),
        (docker(&format!("{image}host_ip = \"lab\"")), "spawner.docker.host_ip has to be an IP address"),
        (docker(&format!("{image}tls_ca_file = \"/etc/hostname\"")), "spawner.docker.tls_ca_file belongs with"),
        (
            docker(&format!("{image}extra_host_config = {{ shmsize = 1 }}")),
            "spawner.docker.extra_host_config is not understood: Shmsize is no setting of Docker's API",
        ),
        (docker(&format!("{image}volumes = {{ \"{{home}}\" = \"/h\" }}")), "spawner.docker.volumes is not understood"),
        (docker(&format!("{image}pull_policy = \"often\"")), "spawner.docker.pull_policy has to be one of"),
    ];
    for (text, told) in table {
        let lines = errors(&text);
        assert!(lines.iter().any(|line| line.contains(told)), "{text}: {lines:?}");
    }
    assert!(Case::new().load("[spawner]\nname = 1").is_err() && Case::new().load("").is_ok(), "only for the driver");
}

#[test]
fn containers_that_cannot_reach_the_hub_are_worth_a_warning() {
    let warned = |rest: &str, about: &str| {
        let text = format!("[spawner]\ndriver = \"docker\"\n[spawner.docker]\nimage = \"lab:1\"\n{rest}");
        Case::new().load(&text).unwrap().warnings().iter().any(|warning| warning.contains(about))
    };
    let cannot = "Containers cannot reach the hub at http://127.0.0.1:8081";
    assert!(warned("", cannot));
    assert!(!warned("[hub]\nhub_ip = \"172.17.0.1\"", "Containers cannot reach"));
    assert!(warned("extra_host_config = { Privileged = true }", "Servers are privileged"));
    assert!(warned("volumes = { \"/var/run/docker.sock\" = \"/var/run/docker.sock\" }", "the engine's socket"));
    assert!(warned("host = \"tcp://engine.example:2375\"", "use TLS"));
}
