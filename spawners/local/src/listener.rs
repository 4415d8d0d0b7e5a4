//! Who listens on an address of this machine.
//!
//! Between the choice of a port and a server's own bind, any user may take the port, and would be sent the requests
//! of the server's user. The kernel tells whose socket it is.

use std::fs;
use std::io;
use std::net::IpAddr;

use crate::port;

/// The kernel's number for a socket that listens.
const LISTEN: &str = "0A";

/// Returns the user whose socket takes the connections to this url; nothing when nobody listens.
pub fn uid_at(url: &str) -> io::Result<Option<u32>> {
    let Some((ip, port)) = port::host(url) else { return Ok(None) };
    let mut tables = fs::read_to_string("/proc/net/tcp")?;
    // A machine may be without IPv6.
    tables.push_str(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    Ok(uid_in(&tables, ip, port))
}

/// A socket for this very address comes before one for all addresses, as it does for the kernel.
fn uid_in(tables: &str, ip: IpAddr, port: u16) -> Option<u32> {
    let on = |address: &str| {
        let wanted = format!("{address}:{port:04X}");
        tables.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            let found = local == wanted && state == LISTEN;
            if found { fields.nth(3)?.parse::<u32>().ok() } else { None }
        })
    };
    let everywhere = [&"0".repeat(8), &"0".repeat(32)];
    on(&hexadecimal(ip)).or_else(|| everywhere.into_iter().find_map(|address| on(address)))
}

/// Writes an address as the kernel's tables do: in words of four bytes, each in the machine's own order.
fn hexadecimal(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)));
    words.map(|word| format!("{word:08X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_listener_of_an_address_is_found_and_no_other() {
        let me = nix::unistd::Uid::effective().as_raw();
        // Where nobody else of this machine takes the port as soon as it is free.
        for host in ["127.77.1.2", "0.0.0.0"] {
            let socket = TcpListener::bind((host, 0)).unwrap();
            let url = format!("http://127.77.1.2:{}/user/a/", socket.local_addr().unwrap().port());
            assert_eq!(uid_at(&url).unwrap(), Some(me), "{host}");
            drop(socket);
            assert_eq!(uid_at(&url).unwrap(), None);
        }
    }

    #[test]
    fn the_very_address_comes_before_all_addresses() {
        let table = "  sl  local_address rem_address st tx rx tr tm retrnsmt uid\n\
             0: 00000000:1F90 00000000:0000 0A 0:0 00:0 0 1001 0 1\n\
             1: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 1002 0 1\n\
             2: 0100007F:1F91 0100007F:0001 01 0:0 00:0 0 1003 0 1\n";
        assert_eq!(uid_in(table, [127, 0, 0, 1].into(), 8080), Some(1002));
        assert_eq!(uid_in(table, [10, 0, 0, 1].into(), 8080), Some(1001));
        assert_eq!(uid_in(table, [127, 0, 0, 1].into(), 8081), None, "a connection is no listener");
    }
}
