//! The name server inside a container's namespace, and other servers played by the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gantry_network::dns::{Dns, DnsSandbox, NamedEndpoint, Names};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::world::{Host, eventually, inside, new_netns, on_host, run};

/// How long a client waits for an answer that should come.
const PATIENCE: Duration = Duration::from_secs(20);
const SERVER: &str = "127.0.0.11:53";

fn sandbox(container: &str) -> DnsSandbox {
    DnsSandbox {
        container_id: container.to_owned(),
        networks: vec!["n1".to_owned()],
        ..DnsSandbox::default()
    }
}

fn names() -> Names {
    let names = Names::new();
    for (name, host) in [("web", 2), ("db", 3)] {
        names.add(NamedEndpoint {
            network: "n1",
            network_name: "net1",
            endpoint: name,
            container_name: name,
            names: &[name.to_owned(), "both".to_owned()],
            v4: Some(Ipv4Addr::new(10, 1, 0, host)),
            v6: None,
        });
    }
    names
}

/// A container's namespace.
fn container() -> OwnedFd {
    let netns = new_netns();
    inside(netns.as_fd(), || run("ip link set lo up"));
    netns
}

fn resolv_conf(host: &Host, text: &str) -> std::path::PathBuf {
    std::fs::create_dir_all(&host.state).unwrap();
    let path = host.state.join("resolv.conf");
    std::fs::write(&path, text).unwrap();
    path
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(rand_id(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message
}

fn rand_id() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn udp(netns: BorrowedFd<'_>) -> UdpSocket {
    inside(netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(SERVER).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    })
}

fn ask_message(socket: &UdpSocket, message: &Message) -> Message {
    socket.send(&message.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 65535];
    let len = socket.recv(&mut buffer).unwrap();
    let answer = Message::from_vec(&buffer[..len]).unwrap();
    assert_eq!(answer.metadata.id, message.metadata.id);
    answer
}

/// Asks by datagram: the data of the answer, or else its code.
fn ask(netns: BorrowedFd<'_>, name: &str, kind: RecordType) -> String {
    told(&ask_message(&udp(netns), &query(name, kind)))
}

fn ask_a(netns: BorrowedFd<'_>, name: &str) -> String {
    ask(netns, name, RecordType::A)
}

fn tcp(netns: BorrowedFd<'_>) -> TcpStream {
    let stream = inside(netns, || TcpStream::connect(SERVER).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask_tcp(stream: &mut TcpStream, message: &[u8]) -> Message {
    write_framed(stream, message);
    Message::from_vec(&read_framed(stream).unwrap()).unwrap()
}

fn write_framed(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(message).unwrap();
}

fn read_framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn told(message: &Message) -> String {
    let data: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    match (message.metadata.response_code, data.is_empty()) {
        (ResponseCode::NoError, false) => data.join(" "),
        (code, _) => format!("{code:?}"),
    }
}

/// What a played server was asked, in raw messages.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// Another server, which answers every address question with `answer`; what else it does is in
/// the name's first label.
fn upstream(netns: BorrowedFd<'_>, address: &str, answer: Ipv4Addr) -> Heard {
    let heard = Heard::default();
    let (udp, tcp) = inside(netns, || {
        let at = format!("{address}:53");
        (UdpSocket::bind(&at).unwrap(), TcpListener::bind(&at).unwrap())
    });
    let by_udp = Arc::clone(&heard);
    thread::spawn(move || {
        let mut buffer = [0; 65535];
        while let Ok((len, peer)) = udp.recv_from(&mut buffer) {
            by_udp.lock().unwrap().push(buffer[..len].to_vec());
            for reply in replies(&buffer[..len], answer, false) {
                let _ = udp.send_to(&reply, peer);
            }
        }
    });
    let by_tcp = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(message) = read_framed(&mut stream) else { continue };
            by_tcp.lock().unwrap().push(message.clone());
            for reply in replies(&message, answer, true) {
                write_framed(&mut stream, &reply);
            }
        }
    });
    heard
}

fn replies(message: &[u8], answer: Ipv4Addr, by_tcp: bool) -> Vec<Vec<u8>> {
    let mut reply = Message::from_vec(message).unwrap();
    reply.metadata.message_type = MessageType::Response;
    let name = reply.queries[0].name().clone();
    let record = |address: Ipv4Addr| Record::from_rdata(name.clone(), 60, RData::A(address.into()));
    let first = name.iter().next().map(|label| String::from_utf8_lossy(label).into_owned());
    match first.as_deref() {
        Some("drop") => return Vec::new(),
        Some("servfail") => reply.metadata.response_code = ResponseCode::ServFail,
        Some("refused") => reply.metadata.response_code = ResponseCode::Refused,
        Some("nx") => reply.metadata.response_code = ResponseCode::NXDomain,
        Some("big") if by_tcp => (0..=200).for_each(|last| {
            reply.add_answer(record(Ipv4Addr::new(10, 0, 0, last)));
        }),
        Some("big") => reply.metadata.truncation = true,
        Some("spoofed") => {
            // Answers to other queries come first; none of them may be taken.
            reply.add_answer(record(Ipv4Addr::new(6, 6, 6, 6)));
            let mut other_id = reply.clone();
            other_id.metadata.id = reply.metadata.id.wrapping_add(1);
            let mut other_name = reply.clone();
            other_name.queries[0].set_name(Name::from_str("other.").unwrap());
            reply.answers.clear();
            reply.add_answer(record(answer));
            return [other_id, other_name, reply].map(|reply| reply.to_vec().unwrap()).to_vec();
        }
        _ => {
            reply.add_answer(record(answer));
        }
    }
    vec![reply.to_vec().unwrap()]
}

#[test]
fn names_and_changes() {
    on_host(|host| async move {
        let table = names();
        let dns = Dns::new(table.clone(), resolv_conf(&host, ""));
        let netns = container();
        let mut own = sandbox("c");
        own.links = vec![("mydb".to_owned(), "db".to_owned())];
        dns.serve(netns.as_fd(), own).await.unwrap();
        let at = netns.as_fd();
        for (name, kind, want) in [
            ("web.", RecordType::A, "10.1.0.2"),
            ("WEB.net1.", RecordType::A, "10.1.0.2"),
            ("mydb.", RecordType::A, "10.1.0.3"),
            ("web.", RecordType::AAAA, "NoError"),
            ("3.0.1.10.in-addr.arpa.", RecordType::PTR, "db.net1."),
            ("both.", RecordType::A, "10.1.0.2 10.1.0.3"),
            ("both.", RecordType::A, "10.1.0.3 10.1.0.2"),
            ("elsewhere.", RecordType::A, "ServFail"),
        ] {
            assert_eq!(ask(at, name, kind), want, "{name} {kind}");
        }
        let mut stream = tcp(at);
        for _ in 0..2 {
            let message = query("web.", RecordType::A).to_vec().unwrap();
            assert_eq!(told(&ask_tcp(&mut stream, &message)), "10.1.0.2");
        }

        // Another sandbox sees the names of its own networks, and no links of others.
        let other = container();
        dns.serve(other.as_fd(), DnsSandbox { networks: vec![], ..sandbox("d") }).await.unwrap();
        assert_eq!(ask_a(other.as_fd(), "web."), "ServFail");
        dns.set_networks("d", vec!["n1".to_owned()], &[], true);
        assert_eq!(ask_a(other.as_fd(), "web."), "10.1.0.2");
        assert_eq!(ask_a(other.as_fd(), "mydb."), "NXDomain");
        table.remove("n1", "web");
        assert_eq!(ask_a(other.as_fd(), "web."), "NXDomain");
        assert_eq!(ask_a(at, "both."), "10.1.0.3");

        // Nothing holds the namespace after the server has stopped, and nobody answers.
        let socket = udp(at);
        dns.stop("c");
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        eventually("the end of the server", || {
            let sent = socket.send(&query("db.", RecordType::A).to_vec().unwrap());
            let refused = sent.and_then(|_| socket.recv(&mut [0; 512]));
            refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
    });
}

#[test]
fn forwarding() {
    on_host(|host| async move {
        let at_host = host.netns.as_fd();
        let heard = upstream(at_host, "127.0.0.53", Ipv4Addr::new(1, 1, 1, 1));
        upstream(at_host, "127.0.0.54", Ipv4Addr::new(2, 2, 2, 2));
        let path = resolv_conf(&host, "nameserver 127.0.0.53\n");
        let dns = Dns::new(names(), path.clone());
        let netns = container();
        dns.serve(netns.as_fd(), sandbox("c")).await.unwrap();
        let at = netns.as_fd();
        assert_eq!(ask_a(at, "example.test."), "1.1.1.1");
        assert_eq!(ask_a(at, "single."), "1.1.1.1");
        assert_eq!(ask_a(at, "nx.test."), "NXDomain");
        assert_eq!(ask_a(at, "spoofed.test."), "1.1.1.1");
        assert_eq!(ask_a(at, "servfail.test."), "ServFail");
        assert_eq!(ask_a(at, "refused.test."), "Refused");
        assert_eq!(ask(at, "web.", RecordType::TXT), "1.1.1.1", "types that are not ours");

        // Truncation: passed on to who asked by datagram, resolved for who asked by connection.
        let cut = ask_message(&udp(at), &query("big.test.", RecordType::A));
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = query("big.test.", RecordType::A).to_vec().unwrap();
        let whole = ask_tcp(&mut tcp(at), &whole);
        assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 201));

        // The message goes out as it came in, but for its id.
        let mut edns = Edns::new();
        edns.set_max_payload(1400).set_dnssec_ok(true);
        let mut message = query("Edns.Test.", RecordType::A);
        message.set_edns(edns);
        message.metadata.checking_disabled = true;
        assert_eq!(told(&ask_message(&udp(at), &message)), "1.1.1.1");
        let last = heard.lock().unwrap().last().unwrap().clone();
        assert_eq!(last[2..], message.to_vec().unwrap()[2..]);

        // The host's file changes: the next server in turn, then another one.
        for (text, name, want) in [
            ("nameserver 127.0.0.52\nnameserver 127.0.0.54\n", "a.test.", "2.2.2.2"),
            ("nameserver 127.0.0.53\n", "a.test.", "1.1.1.1"),
            ("search x\n", "a.test.", "ServFail"),
        ] {
            let next = path.with_extension("next");
            std::fs::write(&next, text).unwrap();
            std::fs::rename(&next, &path).unwrap();
            eventually(text, || ask_a(at, name) == want);
        }
    });
}

#[test]
fn a_server_that_says_nothing_or_fails_is_passed_over() {
    on_host(|host| async move {
        let at_host = host.netns.as_fd();
        // Bound and never read: nobody says that nothing is there.
        let silent = inside(at_host, || UdpSocket::bind("127.0.0.53:53").unwrap());
        upstream(at_host, "127.0.0.54", Ipv4Addr::new(2, 2, 2, 2));
        let path = resolv_conf(&host, "nameserver 127.0.0.53\nnameserver 127.0.0.54\n");
        let dns = Dns::new(names(), path);
        let netns = container();
        dns.serve(netns.as_fd(), sandbox("c")).await.unwrap();
        assert_eq!(ask_a(netns.as_fd(), "example.test."), "2.2.2.2");
        assert_eq!(ask_a(netns.as_fd(), "servfail.test."), "ServFail");
        drop(silent);
    });
}

#[test]
fn own_servers_are_asked_from_inside_and_port_53_is_free() {
    on_host(|host| async move {
        let heard = upstream(host.netns.as_fd(), "127.0.0.1", Ipv4Addr::new(1, 1, 1, 1));
        let dns = Dns::new(names(), resolv_conf(&host, "nameserver 127.0.0.1\n"));
        let netns = container();
        let own = DnsSandbox {
            servers: vec!["127.0.0.11".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            internal: true,
            ..sandbox("c")
        };
        dns.serve(netns.as_fd(), own).await.unwrap();
        // As a container does that is a name server itself.
        upstream(netns.as_fd(), "0.0.0.0", Ipv4Addr::new(3, 3, 3, 3));
        assert_eq!(ask_a(netns.as_fd(), "example.test."), "3.3.3.3");
        assert_eq!(ask_a(netns.as_fd(), "web."), "10.1.0.2");
        let mut stream = tcp(netns.as_fd());
        let big = query("big.test.", RecordType::A).to_vec().unwrap();
        assert_eq!(ask_tcp(&mut stream, &big).answers.len(), 201);
        assert!(heard.lock().unwrap().is_empty(), "nothing left the container");
    });
}

#[test]
fn a_restarted_daemon_takes_the_same_ports() {
    on_host(|host| async move {
        let path = resolv_conf(&host, "");
        let netns = container();
        let first = Dns::new(names(), path.clone());
        let record = first.serve(netns.as_fd(), sandbox("c")).await.unwrap();
        let flow = udp(netns.as_fd());
        assert_eq!(told(&ask_message(&flow, &query("web.", RecordType::A))), "10.1.0.2");
        let mut connection = tcp(netns.as_fd());
        drop(first);
        // The old daemon's end of the connection is gone when its task is.
        assert!(read_framed(&mut connection).is_none());

        let record = serde_json::to_string(&record).unwrap();
        let record = serde_json::from_str(&record).unwrap();
        let second = Dns::new(names(), path);
        let again = netns.try_clone().unwrap();
        second.adopt(again, sandbox("c"), &record).await.unwrap();
        assert_eq!(told(&ask_message(&flow, &query("db.", RecordType::A))), "10.1.0.3");
        let message = query("web.", RecordType::A).to_vec().unwrap();
        assert_eq!(told(&ask_tcp(&mut tcp(netns.as_fd()), &message)), "10.1.0.2");
        let rules = inside(netns.as_fd(), || run("nft list ruleset"));
        assert_eq!(rules.matches("dnat to").count(), 2, "{rules}");
        for port in [record.udp_port, record.tcp_port] {
            assert!(rules.contains(&format!("127.0.0.11:{port}")), "{rules}");
        }

        // A port that somebody took meanwhile: others do.
        second.stop("c");
        let taken = ("127.0.0.11", record.udp_port);
        let mut squatter = None;
        eventually("the port to be free", || {
            squatter = inside(netns.as_fd(), || UdpSocket::bind(taken).ok());
            squatter.is_some()
        });
        let again = netns.try_clone().unwrap();
        second.adopt(again, sandbox("c"), &record).await.unwrap();
        assert_eq!(ask_a(netns.as_fd(), "web."), "10.1.0.2");
        drop(squatter);
    });
}

#[test]
fn twenty_thousand_queries_without_loss() {
    const QUERIES: u32 = 20_000;
    const AT_ONCE: u32 = 100;
    on_host(|host| async move {
        let dns = Dns::new(names(), resolv_conf(&host, ""));
        let netns = container();
        dns.serve(netns.as_fd(), sandbox("c")).await.unwrap();
        let socket = udp(netns.as_fd());
        let message = query("web.net1.", RecordType::A).to_vec().unwrap();
        let begin = std::time::Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut buffer = [0; 512];
        while answered < QUERIES {
            while sent < QUERIES && sent - answered < AT_ONCE {
                socket.send(&message).unwrap();
                sent += 1;
            }
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!((len, &buffer[len - 4..len]), (message.len() + 16, &[10, 1, 0, 2][..]));
            answered += 1;
        }
        println!("{QUERIES} answers in {:?}", begin.elapsed());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(socket.recv(&mut buffer).is_err(), "one answer a query");
    });
}

#[test]
fn hostile_clients_harm_themselves() {
    on_host(|host| async move {
        let dns = Dns::new(names(), resolv_conf(&host, "nameserver 127.0.0.53\n"));
        let _silent = inside(host.netns.as_fd(), || UdpSocket::bind("127.0.0.53:53").unwrap());
        let netns = container();
        dns.serve(netns.as_fd(), sandbox("c")).await.unwrap();
        let at = netns.as_fd();

        // The longest message there is, and rubbish.
        let mut stream = tcp(at);
        let mut long = query("web.", RecordType::A).to_vec().unwrap();
        long.resize(65_535, 0);
        assert_eq!(told(&ask_tcp(&mut stream, &long)), "10.1.0.2");
        long[6..12].fill(255);
        assert_eq!(told(&ask_tcp(&mut stream, &long)), "FormErr");
        long[2] |= 0x80;
        write_framed(&mut stream, &long);
        assert!(read_framed(&mut stream).is_none(), "a response ends the connection");

        // More connections than there may be, all slow, and more queries than may wait.
        let mut slow: Vec<TcpStream> = (0..100).map(|_| tcp(at)).collect();
        slow.iter_mut().for_each(|stream| stream.write_all(&[0]).unwrap());
        let flood = udp(at);
        for _ in 0..1100 {
            flood.send(&query("drop.test.", RecordType::A).to_vec().unwrap()).unwrap();
        }
        let mut refused = [0; 512];
        let len = flood.recv(&mut refused).unwrap();
        let refused = told(&Message::from_vec(&refused[..len]).unwrap());
        // With a low limit of open files, sockets run out before the bound is reached.
        assert!(["Refused", "ServFail"].contains(&&*refused), "{refused}");
        assert_eq!(ask_a(at, "web."), "10.1.0.2", "names are answered all the same");
    });
}
