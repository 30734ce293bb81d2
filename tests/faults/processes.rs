//! What Linux tells of a process: its state, its parent, and what it holds.

use std::time::Duration;

use crate::app::kills::replica;
use crate::app::process::Serving;
use crate::support::{SOON, World, soon};

/// State letter and parent; `None` once it is gone.
pub fn state(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

pub fn children(parent: i32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| state(*pid).is_some_and(|(_, its)| its == parent))
        .collect()
}

/// What could leak.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    pub descriptors: usize,
    pub sockets: usize,
    pub rss_kib: u64,
}

impl Footprint {
    pub fn of(pid: u32) -> Self {
        let links: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            // One may be closed between the list and the look.
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
        Self { descriptors: links.len(), sockets, rss_kib: status_kib(pid, "VmRSS:") }
    }

    /// Measure `before` when the service has worked for a while: its pool grows as needed, and the allocator
    /// keeps what it once had.
    pub fn is_back_at(&self, before: &Self) -> bool {
        const SPARE_DESCRIPTORS: usize = 4;
        const SPARE_KIB: u64 = 16 * 1024;
        self.descriptors <= before.descriptors + SPARE_DESCRIPTORS
            && self.sockets <= before.sockets + SPARE_DESCRIPTORS
            && self.rss_kib <= before.rss_kib + SPARE_KIB
    }
}

/// The most memory that the process ever had.
pub fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    kib.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Descriptors, sockets and memory of the process are back where they were, soon.
pub async fn check_back(pid: u32, before: Footprint) {
    let back = async {
        while !Footprint::of(pid).is_back_at(&before) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let back = tokio::time::timeout(SOON, back).await;
    assert!(back.is_ok(), "{:?} is not back at {before:?}", Footprint::of(pid));
}

#[tokio::test]
async fn a_crowd_of_sockets_shows_and_goes() {
    let world = World::new().await;
    let serving = Serving::start(replica(&world)).await;
    let before = Footprint::of(serving.pid());
    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(tokio::net::TcpStream::connect(("127.0.0.1", serving.port)).await.unwrap());
    }
    soon(async {
        while Footprint::of(serving.pid()).sockets < before.sockets + 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!Footprint::of(serving.pid()).is_back_at(&before));
    drop(crowd);
    check_back(serving.pid(), before).await;
}
