//! Reads from `/proc` the addresses on which a process listens.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

/// The state of a listening socket in `/proc/net/tcp` (proc_pid_net(5)).
const LISTENS: &str = "0A";

/// Returns the IPv4 addresses on which a process listens, in the order of its open files.
pub(crate) fn listeners(process: u32) -> Vec<SocketAddr> {
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let listening: Vec<(String, SocketAddr)> = table.lines().filter_map(listening).collect();
    let directory = format!("/proc/{process}/fd");
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sockets: Vec<(u32, String)> = files
        .filter_map(|file| {
            let number = file.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(file.path()).ok()?;
            Some((number, target.to_str()?.to_owned()))
        })
        .collect();
    sockets.sort();
    let address = |(_, target): &(u32, String)| {
        let socket = listening.iter().find(|(name, _)| name == target);
        socket.map(|(_, address)| *address)
    };
    sockets.iter().filter_map(address).collect()
}

/// Returns the file name and address of the socket in a line of the table, if it is listening.
fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    if *state != LISTENS {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    // The address is in the byte order of the machine; the port is a number.
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = SocketAddr::from((Ipv4Addr::from(ip), port));
    Some((format!("socket:[{inode}]"), address))
}
