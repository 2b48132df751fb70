//! Beside others whose forward chains drop.

use std::os::fd::AsFd;

use super::lab::{Container, Lab, check, serve};
use super::world::{Host, eventually, on_host, run};
use crate::firewall::FirewallOptions;
use crate::ipam::lock;

/// Everything that must flow through a forward chain, and what must not whatever it accepts.
fn check_flows(when: &str, lab: &Lab, web: &Container, other: &Container) {
    let (outside, web, other) = (lab.outside.as_fd(), web.netns.as_fd(), other.netns.as_fd());
    check(
        when,
        &[
            ("outside", outside, "10.99.0.1:8080", "10.99.0.2"),
            ("outside", outside, "[fd99::1]:8080", "fd99::2"),
            ("other network", other, "10.99.0.1:8080", "*"),
            ("container", web, "10.99.0.2:9000", "10.99.0.1"),
            ("container", web, "[fd99::2]:9000", "fd99::1"),
            ("outside", outside, "172.30.1.2:80", "-"),
            ("outside", outside, "[fd30:1::2]:81", "-"),
            ("other network", other, "172.30.1.2:81", "-"),
            ("other network", other, "[fd30:1::2]:81", "-"),
        ],
    );
}

const OURS: [&str; 4] = [
    "-A FORWARD -i br1 -m comment --comment \"gantry-lab: from br1\" -j ACCEPT",
    "-A FORWARD -o br1 -m comment --comment \"gantry-lab: to br1\" -j ACCEPT",
    "-A FORWARD -i br2 -m comment --comment \"gantry-lab: from br2\" -j ACCEPT",
    "-A FORWARD -o br2 -m comment --comment \"gantry-lab: to br2\" -j ACCEPT",
];

/// The rules of a chain as `iptables` reads them, but for the policy.
fn forward(program: &str) -> Vec<String> {
    let lines = run(&format!("{program} -S FORWARD"));
    lines.lines().skip(1).map(str::to_owned).collect()
}

fn open(host: Host) -> Lab {
    let lab = Lab::new(host, FirewallOptions::default());
    lab.network(1, |_| ());
    lab.network(2, |_| ());
    lab
}

#[test]
fn iptables() {
    on_host(|host| async move {
        let lab = open(host);
        run("iptables -P FORWARD DROP");
        run("iptables -A FORWARD -j DROP");
        lab.begin();
        let (web, other) = (lab.container(1, 2), lab.container(2, 2));
        serve(web.netns.as_fd(), 80);
        serve(web.netns.as_fd(), 81);
        serve(lab.outside.as_fd(), 9000);
        let _held = lab.publish(&web, &["8080:80"]).await;
        // It came later, as a dockerd does.
        run("ip6tables -P FORWARD DROP");
        eventually("rules for IPv6", || forward("ip6tables").len() == 4);
        check_flows("dropped by policy", &lab, &web, &other);
        assert_eq!(forward("iptables"), [&OURS[..], &["-A FORWARD -j DROP"]].concat());
        assert_eq!(forward("ip6tables"), OURS);
        assert!(run("iptables-save").contains(OURS[3]));
        let report = lock(&lab.firewall).report();
        let seen: Vec<_> =
            report.foreign.iter().map(|c| (c.family, c.inserted, c.blocked.clone())).collect();
        assert_eq!(seen, [("ip", 4, None), ("ip6", 4, None)], "{report:?}");

        // Rules put before ours, a flush, and a reload.
        run("iptables -N DOCKER-USER");
        run("iptables -I FORWARD -j DOCKER-USER");
        run("iptables -I FORWARD -i docker0 -j DROP");
        eventually("ours are first", || forward("iptables")[..4] == OURS);
        assert_eq!(forward("iptables").len(), 7);
        run("iptables -F FORWARD");
        eventually("after a flush", || forward("iptables") == OURS);
        let saved = lab.host.state.with_extension("rules");
        std::fs::write(&saved, "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i x -j DROP\nCOMMIT\n")
            .unwrap();
        run(&format!("iptables-restore {}", saved.display()));
        std::fs::remove_file(&saved).unwrap();
        eventually("after a reload", || {
            forward("iptables").len() == 5 && forward("iptables")[..4] == OURS
        });
        check_flows("after a reload", &lab, &web, &other);

        // A network comes and goes; the policy is lifted.
        lab.network(3, |_| ());
        assert_eq!(forward("iptables").len(), 7);
        lock(&lab.firewall).remove_network("net3").unwrap();
        assert_eq!(forward("iptables").len(), 5);
        assert_eq!(forward("ip6tables").len(), 4);
        run("ip6tables -P FORWARD ACCEPT");
        eventually("no need any more", || forward("ip6tables").is_empty());
        lock(&lab.firewall).remove().unwrap();
        assert_eq!(forward("iptables"), ["-A FORWARD -i x -j DROP"]);
    });
}

/// Tables of `nft`: one that drops by policy, one whose last rule rejects, as firewalld's does.
#[test]
fn nft() {
    on_host(|host| async move {
        let lab = open(host);
        let hook = "type filter hook forward priority 10";
        for table in ["strict", "firewalld", "mild"] {
            run(&format!("nft add table inet {table}"));
        }
        run(&format!("nft add chain inet strict passing {{ {hook} ; policy drop ; }}"));
        run(&format!("nft add chain inet mild passing {{ {hook} ; }}"));
        run("nft add rule inet mild passing iifname x drop");
        let forward = "inet firewalld filter_FORWARD";
        run(&format!("nft add chain {forward} {{ {hook} ; }}"));
        run(&format!("nft add rule {forward} ct state invalid drop"));
        run(&format!("nft add rule {forward} counter reject with icmpx admin-prohibited"));
        let before = without_counters(&run("nft list ruleset"));
        lab.begin();
        let (web, other) = (lab.container(1, 2), lab.container(2, 2));
        serve(web.netns.as_fd(), 80);
        serve(web.netns.as_fd(), 81);
        serve(lab.outside.as_fd(), 9000);
        let _held = lab.publish(&web, &["8080:80"]).await;
        check_flows("dropped by policy and by a rule", &lab, &web, &other);
        let chain = run("nft list chain inet strict passing");
        assert!(chain.contains("iifname \"br1\" counter packets"), "{chain}");
        assert!(chain.contains("comment \"gantry-lab: to br2\""), "{chain}");
        assert!(!run("nft list table inet mild").contains("br1"));
        run("nft flush chain inet strict passing");
        let back = || run("nft list chain inet strict passing").contains("gantry-lab: to br2");
        eventually("after a flush", back);
        check_flows("after a flush", &lab, &web, &other);
        let report = lock(&lab.firewall).report();
        assert_eq!(report.foreign.len(), 2, "{report:?}");
        assert!(report.problems.iter().all(|problem| problem.contains("legacy")), "{report:?}");
        lock(&lab.firewall).remove().unwrap();
        assert_eq!(without_counters(&run("nft list ruleset")), before);
    });
}

/// Counters go on as packets come.
fn without_counters(text: &str) -> String {
    let words = text.split(' ').filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

/// Switched off, others' chains are left alone, and the doctor says so.
#[test]
fn switched_off() {
    on_host(|host| async move {
        let options = FirewallOptions { foreign_accepts: false, ..FirewallOptions::default() };
        let lab = Lab::new(host, options);
        lab.network(1, |_| ());
        run("iptables -P FORWARD DROP");
        lab.begin();
        assert!(forward("iptables").is_empty());
        let report = lock(&lab.firewall).report();
        assert!(report.problems[0].contains("accept rules are switched off"), "{report:?}");
        lock(&lab.firewall).remove().unwrap();
    });
}
