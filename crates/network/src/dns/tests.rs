//! Answers and malformed messages, with hickory-proto as the other opinion.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Ask, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use proptest::prelude::*;

use super::answer::{Outcome, Transport, View, answer};
use super::names::{NamedEndpoint, Names};
use super::wire::{self, Query, Wrong};

/// net1: web (two names), db, both behind `both`; net2: db under another alias; net3: six.
fn names() -> Names {
    let names = Names::new();
    let add = |network: &str, name: &str, aliases: &[&str], v4: &str, v6: Option<&str>| {
        let all: Vec<String> =
            [name].iter().chain(aliases).map(|name| (*name).to_owned()).collect();
        names.add(NamedEndpoint {
            network: &format!("id-{network}"),
            network_name: network,
            endpoint: &format!("{name}@{network}"),
            container_name: name,
            names: &all,
            v4: v4.parse().ok(),
            v6: v6.map(|address| address.parse().unwrap()),
        });
    };
    add("net1", "Web", &["alias1", "both", "web"], "10.1.0.2", None);
    add("net1", "db", &["both", "0123456789ab", "my.dotted.name"], "10.1.0.3", None);
    add("net2", "db", &["only2"], "10.2.0.3", Some("fd00::3"));
    add("net3.dotted", "six", &[], "", Some("fd00:3::6"));
    names
}

fn view(networks: &[&str]) -> View {
    View {
        networks: networks.iter().map(|name| format!("id-{name}")).collect(),
        links: View::link_table(&[("mydb".into(), "db".into()), ("gone".into(), "no".into())]),
        ..View::default()
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Ask::query(Name::from_str(name).unwrap(), kind));
    message
}

/// What is answered; an error tells what else becomes of it.
fn told(message: &Message, view: &View, names: &Names) -> Result<Message, Outcome> {
    let mut out = Vec::new();
    let message = message.to_vec().unwrap();
    match answer(&message, Transport::Udp, (view, names), &mut out) {
        Outcome::Reply => Ok(Message::from_vec(&out).unwrap()),
        other => Err(other),
    }
}

/// The answer in one line.
fn line(name: &str, kind: RecordType, view: &View, names: &Names) -> String {
    let message = match told(&query(name, kind), view, names) {
        Err(outcome) => return format!("{outcome:?}"),
        Ok(message) => message,
    };
    assert_eq!(message.metadata.id, 77);
    assert!(message.metadata.recursion_available && message.metadata.recursion_desired);
    assert_eq!(message.queries[0].name().to_ascii(), Name::from_str(name).unwrap().to_ascii());
    let mut parts: Vec<String> = message
        .answers
        .iter()
        .map(|record| {
            assert_eq!(record.ttl, 600);
            match &record.data {
                RData::A(address) => address.to_string(),
                RData::AAAA(address) => address.to_string(),
                RData::PTR(name) => name.to_string(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    if message.metadata.response_code != ResponseCode::NoError || parts.is_empty() {
        parts.insert(0, format!("{:?}", message.metadata.response_code));
    }
    parts.join(" ")
}

#[test]
fn answers() {
    use RecordType::{A, AAAA, ANY, HTTPS, MX, PTR, TXT};
    let names = names();
    let one = view(&["net1"]);
    let both = view(&["net2", "net1"]);
    let six = view(&["net1", "net3.dotted"]);
    for (name, kind, view, want) in [
        ("web.", A, &one, "10.1.0.2"),
        ("WEB.", A, &one, "10.1.0.2"),
        ("alias1.", A, &one, "10.1.0.2"),
        ("0123456789AB.", A, &one, "10.1.0.3"),
        ("web.net1.", A, &one, "10.1.0.2"),
        ("web.NET1.", A, &one, "10.1.0.2"),
        ("web.net2.", A, &one, "Forward"),
        ("my.dotted.name.", A, &one, "10.1.0.3"),
        ("my.dotted.name.net1.", A, &one, "10.1.0.3"),
        ("mydb.", A, &one, "10.1.0.3"),
        ("mydb.net1.", A, &one, "10.1.0.3"),
        ("gone.", A, &one, "Forward"),
        ("only2.", A, &one, "Forward"),
        ("unknown.", A, &one, "Forward"),
        ("web.example.", A, &one, "Forward"),
        (".", A, &one, "Forward"),
        // Known, but not with such an address.
        ("web.", AAAA, &one, "NoError"),
        ("web.", MX, &one, "NoError"),
        ("unknown.", MX, &one, "Forward"),
        ("web.", TXT, &one, "Forward"),
        ("web.", ANY, &one, "Forward"),
        ("web.", HTTPS, &one, "Forward"),
        // The first network wins; for IPv6 the first that has any.
        ("db.", A, &both, "10.2.0.3"),
        ("db.net1.", A, &both, "10.1.0.3"),
        ("db.", AAAA, &both, "fd00::3"),
        ("db.net1.", AAAA, &both, "NoError"),
        ("six.", AAAA, &six, "fd00:3::6"),
        ("six.", A, &six, "NoError"),
        ("six.net3.dotted.", AAAA, &six, "fd00:3::6"),
        ("db.", AAAA, &view(&["net1", "net2"]), "fd00::3"),
        // Addresses.
        ("2.0.1.10.in-addr.arpa.", PTR, &one, "Web.net1."),
        ("3.0.1.10.IN-ADDR.arpa.", PTR, &one, "db.net1."),
        ("3.0.2.10.in-addr.arpa.", PTR, &one, "Forward"),
        ("9.0.1.10.in-addr.arpa.", PTR, &one, "Forward"),
        ("0.1.10.in-addr.arpa.", PTR, &one, "Forward"),
        ("2.0.1.10.in-addr.arpa.", A, &one, "Forward"),
    ] {
        let networks = &view.networks;
        assert_eq!(line(name, kind, view, &names), want, "{name} {kind} on {networks:?}");
    }
    let name = Name::from(IpAddr::from_str("fd00:3::6").unwrap()).to_ascii();
    assert_eq!(line(&name, PTR, &six, &names), "six.net3.dotted.");
}

#[test]
fn a_network_with_no_way_out() {
    use RecordType::{A, TXT};
    let names = names();
    let closed = View { internal: true, ..view(&["net1"]) };
    assert_eq!(line("web.", A, &closed, &names), "10.1.0.2");
    assert_eq!(line("web.", TXT, &closed, &names), "NoError");
    assert_eq!(line("unknown.example.", A, &closed, &names), "NXDomain");
    let server: SocketAddr = "10.1.0.9:53".parse().unwrap();
    let own = View { servers: Arc::new([server]), ..closed };
    assert_eq!(line("unknown.example.", A, &own, &names), "Forward");
}

#[test]
fn turns_by_family_and_changes() {
    let names = names();
    let one = view(&["net1"]);
    let ask = |kind| line("both.", kind, &one, &names);
    for _ in 0..2 {
        // A resolver asks for both families; that must not make every other turn invisible.
        assert_eq!(ask(RecordType::A), "10.1.0.2 10.1.0.3");
        assert_eq!(ask(RecordType::AAAA), "NoError");
        assert_eq!(ask(RecordType::A), "10.1.0.3 10.1.0.2");
    }
    names.remove("id-net1", "Web@net1");
    assert_eq!(ask(RecordType::A), "10.1.0.3");
    assert_eq!(line("web.", RecordType::A, &one, &names), "Forward");
    let renamed = ["new".to_owned(), "new".to_owned(), String::new(), "N.".to_owned()];
    names.add(NamedEndpoint {
        network: "id-net1",
        network_name: "net1",
        endpoint: "db@net1",
        container_name: "new",
        names: &renamed,
        v4: Some([10, 1, 0, 3].into()),
        v6: None,
    });
    assert_eq!(ask(RecordType::A), "Forward");
    assert_eq!(line("n.", RecordType::A, &one, &names), "10.1.0.3");
    assert_eq!(line("3.0.1.10.in-addr.arpa.", RecordType::PTR, &one, &names), "new.net1.");
    names.remove("id-net1", "db@net1");
    names.remove("id-net1", "db@net1");
    names.remove("id-nothing", "db@net1");
    assert_eq!(line("new.", RecordType::A, &one, &names), "Forward");
}

#[test]
fn as_many_addresses_as_fit() {
    let names = Names::new();
    for number in 0..=255u8 {
        names.add(NamedEndpoint {
            network: "id-net1",
            network_name: "net1",
            endpoint: &number.to_string(),
            container_name: "x",
            names: &["many".to_owned()],
            v4: Some([10, 0, 0, number].into()),
            v6: None,
        });
    }
    let view = view(&["net1"]);
    for (edns, fits, truncated) in
        [(None, 30, true), (Some(100), 30, true), (Some(1232), 74, true), (Some(9000), 256, false)]
    {
        let mut message = query("many.", RecordType::A);
        if let Some(size) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        let told = told(&message, &view, &names).unwrap();
        let got = (told.answers.len(), told.metadata.truncation);
        let len = told.to_vec().unwrap().len();
        assert!(len <= usize::from(edns.unwrap_or(512).max(512)), "{edns:?}: {len}");
        assert_eq!((told.edns.is_some(), told.queries.len()), (edns.is_some(), 1));
        // With EDNS the OPT record takes 11 bytes, which may cost one address.
        assert!(got.1 == truncated && (fits - 1..=fits).contains(&got.0), "{edns:?}: {got:?}");
    }
    let long = query("many.", RecordType::A).to_vec().unwrap();
    let mut out = Vec::new();
    assert_eq!(answer(&long, Transport::Tcp, (&view, &names), &mut out), Outcome::Reply);
    assert_eq!(Message::from_vec(&out).unwrap().answers.len(), 256);
}

/// Raw messages that are not queries, and what becomes of them.
#[test]
fn malformed() {
    let good = query("web.", RecordType::A).to_vec().unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    let (view, names) = (view(&["net1"]), names());
    for (what, message, want) in [
        ("empty", vec![], None),
        ("short", good[..11].to_vec(), None),
        ("response", with(&|m| m[2] |= 0x80), None),
        ("notify", with(&|m| m[2] |= 4 << 3), Some(ResponseCode::NotImp)),
        ("update", with(&|m| m[2] |= 5 << 3), Some(ResponseCode::NotImp)),
        ("no question", with(&|m| m[5] = 0), Some(ResponseCode::FormErr)),
        ("two questions", with(&|m| m[5] = 2), Some(ResponseCode::FormErr)),
        ("cut name", good[..14].to_vec(), Some(ResponseCode::FormErr)),
        ("cut type", good[..good.len() - 3].to_vec(), Some(ResponseCode::FormErr)),
        ("loop", with(&|m| m.splice(12.., [0xc0, 12, 0, 1, 0, 1]).for_each(drop)), FORM_ERR),
        ("long label", with(&|m| m[12] = 64), FORM_ERR),
        ("missing record", with(&|m| m[11] = 1), FORM_ERR),
        ("65535 records", with(&|m| m[6..12].fill(255)), FORM_ERR),
        ("two OPT", with(&|m| two_opt(m, 0)), FORM_ERR),
        ("OPT not at the root", with(&|m| two_opt(m, 1)), FORM_ERR),
        ("other class", with(&|m| *m.last_mut().unwrap() = 3), Some(ResponseCode::NoError)),
    ] {
        let mut out = Vec::new();
        let outcome = answer(&message, Transport::Udp, (&view, &names), &mut out);
        let got = match outcome {
            Outcome::Silence => None,
            Outcome::Forward => Some(ResponseCode::NoError),
            Outcome::Reply => Some(Message::from_vec(&out).unwrap().metadata.response_code),
        };
        assert_eq!(got, want, "{what}");
    }
    let long = [
        &good[..12],
        &b"\x3faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(4)[..],
        b"\0\0\x01\0\x01",
    ]
    .concat();
    assert_eq!(Query::parse(&long).err(), Some(Wrong::Answer(wire::Rcode::FormErr)));
    // A label with a dot in it is another name than two labels.
    let dotted = [&good[..12], b"\x08web.net1\0\0\x01\0\x01"].concat();
    let mut out = Vec::new();
    let outcome = answer(&dotted, Transport::Udp, (&view, &names), &mut out);
    assert_eq!(outcome, Outcome::Forward);
}

const FORM_ERR: Option<ResponseCode> = Some(ResponseCode::FormErr);

/// Appends two OPT records, or one with a name.
fn two_opt(message: &mut Vec<u8>, name: usize) {
    const OPT: [u8; 11] = [0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0];
    message[11] = if name == 0 { 2 } else { 1 };
    if name == 0 {
        message.extend_from_slice(&OPT);
    } else {
        message.extend_from_slice(b"\x01a");
    }
    message.extend_from_slice(&OPT);
}

#[test]
fn answers_of_others_must_match() {
    let asked = query("Web.Example.", RecordType::A).to_vec().unwrap();
    let asked = Query::parse(&asked).unwrap();
    let reply = |name: &str, kind, rcode| {
        let mut message = query(name, kind);
        message.metadata.message_type = MessageType::Response;
        message.metadata.response_code = rcode;
        message.to_vec().unwrap()
    };
    let good = reply("web.example.", RecordType::A, ResponseCode::NoError);
    assert!(asked.is_answered_by(77, &good), "case makes no difference");
    assert!(!asked.is_answered_by(78, &good), "another id");
    assert!(!asked.is_answered_by(77, asked.message), "a query");
    assert!(!asked.is_answered_by(77, &good[..13]), "cut");
    let other = reply("web.example.", RecordType::AAAA, ResponseCode::NoError);
    assert!(!asked.is_answered_by(77, &other), "another type");
    let other = reply("wep.example.", RecordType::A, ResponseCode::NoError);
    assert!(!asked.is_answered_by(77, &other), "another name");
    for (rcode, fine) in [(0x80, false), (0x81, true), (0x85, true)] {
        let bare = [0, 77, 0x80, rcode, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(asked.is_answered_by(77, &bare), fine, "bare header {rcode}");
    }
}

#[test]
fn too_long_answers_are_cut_to_the_question() {
    let asked = query("web.", RecordType::A).to_vec().unwrap();
    let asked = Query::parse(&asked).unwrap();
    let mut message = query("web.", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    message.metadata.response_code = ResponseCode::NXDomain;
    let mut long = message.to_vec().unwrap();
    let short = long.clone();
    asked.fit(&mut long, 512);
    assert_eq!(long, short);
    long.resize(600, 0);
    asked.fit(&mut long, 512);
    let cut = Message::from_vec(&long).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(cut.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn reverse_names() {
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    for (name, want) in [
        ("4.3.2.1.in-addr.arpa", Some("1.2.3.4")),
        ("3.2.1.in-addr.arpa", None),
        ("5.4.3.2.1.in-addr.arpa", None),
        ("256.3.2.1.in-addr.arpa", None),
        (".3.2.1.in-addr.arpa", None),
        ("in-addr.arpa", None),
        (v6, Some("2001:db8::1")),
        (&v6[2..], None),
        (&v6.replacen('1', "g", 1), None),
        (&v6.replacen('1', "01", 1), None),
        (&format!("0.{v6}"), None),
    ] {
        let got = wire::reverse_address(name.as_bytes()).map(|address| address.to_string());
        assert_eq!(got.as_deref(), want, "{name}");
    }
    assert_eq!(wire::encode_name("a.bc"), Some(b"\x01a\x02bc\0".to_vec()));
    for none in ["", "a..b", &"x".repeat(64), &"abc.".repeat(70)] {
        assert_eq!(wire::encode_name(none), None, "{none}");
    }
}

/// Whatever comes: no panic, and what is answered is a message with the same id.
fn survives(message: &[u8]) -> Result<(), TestCaseError> {
    let (view, names) = (view(&["net1", "net3.dotted"]), names());
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut out = Vec::new();
        if answer(message, transport, (&view, &names), &mut out) == Outcome::Reply {
            prop_assert_eq!(&out[..2], &message[..2]);
            prop_assert!(Message::from_vec(&out).is_ok(), "{:?}", out);
        }
    }
    let asked = query("web.", RecordType::A).to_vec().unwrap();
    let asked = Query::parse(&asked).unwrap();
    let mut answer = message.to_vec();
    let _ = asked.is_answered_by(77, message);
    asked.fit(&mut answer, 20);
    Ok(())
}

proptest! {
    #[test]
    fn random_bytes(message in prop::collection::vec(any::<u8>(), 0..600)) {
        survives(&message)?;
    }

    #[test]
    fn mutations(
        name in "([a-z0-9.]{0,20}|web|db|both)(\\.net1)?",
        kind in prop::sample::select(vec![1u16, 12, 15, 28, 255]),
        edns in any::<Option<u16>>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let name = Name::from_str(&name).unwrap_or_default();
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.add_query(Ask::query(name, RecordType::from(kind)));
        if let Some(size) = edns {
            message.set_edns({ let mut edns = Edns::new(); edns.set_max_payload(size); edns });
        }
        let mut message = message.to_vec().unwrap();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if !whole {
            message.truncate(cut.index(message.len()));
        }
        survives(&message)?;
    }
}
