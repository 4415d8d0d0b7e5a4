//! A real LDAP server of a test's own, on a loopback port, with a few people and a group; gone with the test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::mark::send;
use crate::place;
use crate::wait::came_true;

/// What every name ends with.
pub const SUFFIX: &str = "dc=specola,dc=test";

const SLAPD: &str = "/usr/sbin/slapd";
const SLAPADD: &str = "/usr/sbin/slapadd";

/// alice and bob are physicists; carol is not.
const PEOPLE: [(&str, &str, bool); 3] =
    [("alice", "wonderland", true), ("bob", "builder", true), ("carol", "tea", false)];

pub struct Slapd {
    server: Child,
    port: u16,
    _folder: TempDir,
}

/// Whether it is installed.
pub fn is_here() -> Option<()> {
    [SLAPD, SLAPADD].iter().all(|program| Path::new(program).is_file()).then_some(())
}

impl Slapd {
    pub fn start() -> Result<Slapd> {
        let folder = tempfile::tempdir()?;
        let (config, data) = (folder.path().join("slapd.conf"), folder.path().join("data"));
        fs::create_dir(&data)?;
        let text = format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
database mdb
maxsize 10485760
suffix \"{SUFFIX}\"
directory {data}
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
",
            folder = folder.path().display(),
            data = data.display()
        );
        fs::write(&config, text)?;
        let entries = folder.path().join("entries.ldif");
        fs::write(&entries, ldif())?;
        let added = Command::new(SLAPADD).arg("-f").arg(&config).arg("-l").arg(&entries).output()?;
        ensure!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
        let port = place::free_port()?;
        let mut command = Command::new(SLAPD);
        command.arg("-f").arg(&config).args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}/")]);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context(SLAPD)?;
        let slapd = Slapd { server, port, _folder: folder };
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        ensure!(came_true(Duration::from_secs(20), answers), "slapd does not answer");
        Ok(slapd)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it before the test does.
    pub fn stop(&mut self) {
        send(self.server.id().cast_signed(), Signal::SIGTERM);
        if !came_true(Duration::from_secs(10), || matches!(self.server.try_wait(), Ok(Some(_)))) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if matches!(self.server.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

fn ldif() -> String {
    let mut text =
        format!("dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Specola\ndc: specola\n\n");
    for unit in ["people", "groups"] {
        text += &format!("dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\nou: {unit}\n\n");
    }
    for (name, password, _) in PEOPLE {
        text += &format!(
            "dn: uid={name},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\nuserPassword: {password}\n\n"
        );
    }
    text += &format!("dn: cn=physics,ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: physics\n");
    for (name, _, _) in PEOPLE.iter().filter(|(_, _, physicist)| *physicist) {
        text += &format!("member: uid={name},ou=people,{SUFFIX}\n");
    }
    text
}
