//! Transactions and healing: how many there are, and that they end.

use std::os::fd::AsFd;
use std::time::Duration;

use super::lab::{Lab, check, redirects, serve};
use super::world::{eventually, on_host, run};
use crate::firewall::FirewallOptions;
use crate::ipam::lock;
use crate::netlink::message::messages;
use crate::netlink::socket::Socket;
use crate::ports::{PortChoice, PortRequest, Proto};

/// `NFT_MSG_NEWGEN`: the end of a transaction.
const NEWGEN: u16 = (10 << 8) | 15;

/// How many transactions were made since the last look.
fn transactions(watch: &mut Socket) -> usize {
    let mut count = 0;
    while let Ok(datagram) = watch.next_datagram() {
        count += messages(datagram).filter(|message| message.kind == NEWGEN).count();
    }
    count
}

#[test]
fn two_hundred_ports_in_one_transaction() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.begin();
        let web = lab.container(1, 2);
        serve(web.netns.as_fd(), 199);
        let mut watch = Socket::nftables_changes().unwrap();
        let request = |at| PortRequest {
            container_port: 1 + at,
            proto: Proto::Tcp,
            host_ip: None,
            host_port: PortChoice::Exact(20000 + at),
        };
        let requests: Vec<PortRequest> = (0..200_u16).map(request).collect();
        let held = lab.reserve_all(&requests).await;
        assert_eq!(held.len(), 400);
        transactions(&mut watch);
        lock(&lab.firewall).publish("web", &redirects(&web, &held)).unwrap();
        assert_eq!(transactions(&mut watch), 1);
        check(
            "published",
            &[
                ("outside", lab.outside.as_fd(), "10.99.0.1:20198", "10.99.0.2"),
                ("outside", lab.outside.as_fd(), "[fd99::1]:20198", "fd99::2"),
                ("host", lab.host.netns.as_fd(), "[::1]:20198", "*"),
            ],
        );
        lock(&lab.firewall).withdraw("web", &[web.v4.into()]).unwrap();
        assert_eq!(transactions(&mut watch), 1);
        assert!(!run("nft list table inet gantry-lab").contains("20198"));
        // A network is one as well, and so is its end.
        lab.network(2, |_| ());
        assert_eq!(transactions(&mut watch), 1);
        lock(&lab.firewall).remove_network("net2").unwrap();
        assert_eq!(transactions(&mut watch), 1);
        lock(&lab.firewall).remove().unwrap();
    });
}

/// What the guard does is no reason for it to do more; what is nothing to us is passed over.
#[test]
fn the_guard_comes_to_rest() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        run("iptables -P FORWARD DROP");
        lab.begin();
        let mut watch = Socket::nftables_changes().unwrap();
        let whole = || lock(&lab.firewall).report().whole;
        for _ in 0..3 {
            run("nft delete table inet gantry-lab");
            eventually("the table", whole);
        }
        run("iptables -F FORWARD");
        let back = || run("iptables -S FORWARD").contains("gantry-lab: to br1");
        eventually("the rules", back);
        // Longer than the guard gathers and pauses.
        tokio::time::sleep(Duration::from_millis(700)).await;
        transactions(&mut watch);
        run("nft add table inet somebody");
        run("nft add set inet somebody banned { type ipv4_addr ; }");
        run("nft add element inet somebody banned { 10.0.0.1 }");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(transactions(&mut watch), 3, "only somebody's own");
        lock(&lab.firewall).remove().unwrap();
        run("nft flush ruleset");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(run("nft list ruleset"), "", "nothing is healed after the end");
    });
}

/// Somebody who takes the table away again and again keeps nobody busy, and does not win.
#[test]
fn a_stubborn_flusher() {
    on_host(|host| async move {
        let lab = Lab::new(host, FirewallOptions::default());
        lab.network(1, |_| ());
        lab.begin();
        let mut watch = Socket::nftables_changes().unwrap();
        let flush = || {
            for _ in 0..20 {
                run("nft flush ruleset");
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        tokio::task::spawn_blocking(flush).await.unwrap();
        let made = transactions(&mut watch);
        assert!(made <= 20 + 5, "{made} transactions in a second");
        eventually("the table", || lock(&lab.firewall).report().whole);
        lock(&lab.firewall).remove().unwrap();
    });
}
