//! What happens, told to whoever listens: `GET /events`.
//!
//! The last 256 events are kept for replay. A subscription is made under the same lock that
//! publishing takes, so that between replay and live there is no gap and no repetition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;

use gantry_api_types::Filters;
use gantry_api_types::events::{EventActor, EventMessage};
use gantry_api_types::filters::FilterError;

/// Events kept for `since`.
const REPLAY: usize = 256;
/// Events a slow listener may lag behind before it loses the oldest.
const BACKLOG: usize = 1024;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// The daemon itself.
    Daemon,
    /// The builder.
    Builder,
}

impl EventKind {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            EventKind::Container => "container",
            EventKind::Image => "image",
            EventKind::Volume => "volume",
            EventKind::Network => "network",
            EventKind::Daemon => "daemon",
            EventKind::Builder => "builder",
        }
    }
}

/// The publisher; clones share it.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recent: Mutex<VecDeque<Arc<EventMessage>>>,
    live: broadcast::Sender<Arc<EventMessage>>,
}

/// One listener's events, oldest first.
#[derive(Debug)]
pub struct EventStream {
    replay: VecDeque<Arc<EventMessage>>,
    live: broadcast::Receiver<Arc<EventMessage>>,
    filters: Filters,
    until_ns: Option<i64>,
}

/// The keys that `GET /events` takes.
const KEYS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

impl Default for Events {
    fn default() -> Self {
        let live = broadcast::Sender::new(BACKLOG);
        Self(Arc::new(Inner { recent: Mutex::new(VecDeque::new()), live }))
    }
}

impl Events {
    /// Tells everybody.
    pub fn publish(
        &self,
        kind: EventKind,
        action: impl Into<String>,
        actor: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) {
        let time_ns = now_ns();
        let event = Arc::new(EventMessage {
            kind: kind.word().to_owned(),
            action: action.into(),
            actor: EventActor { id: actor.into(), attributes },
            scope: "local".to_owned(),
            time: time_ns / 1_000_000_000,
            time_nano: time_ns,
            ..EventMessage::default()
        });
        let mut recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REPLAY {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&event));
        // No listener is no error.
        let _ = self.0.live.send(event);
    }

    /// Tells everybody what happened to an image.
    pub fn publish_image(&self, event: gantry_image::ImageEvent) {
        self.publish(EventKind::Image, event.action.name(), event.id, event.attributes);
    }

    /// Listens: what was from `since_ns` on, then what comes, until `until_ns`.
    ///
    /// # Errors
    /// [`FilterError`] for a key that events do not have.
    pub fn subscribe(
        &self,
        since_ns: Option<i64>,
        until_ns: Option<i64>,
        filters: Filters,
    ) -> Result<EventStream, FilterError> {
        filters.validate(KEYS)?;
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let replay = match since_ns {
            Some(since) => {
                recent.iter().filter(|event| event.time_nano >= since).cloned().collect()
            }
            None => VecDeque::new(),
        };
        Ok(EventStream { replay, live: self.0.live.subscribe(), filters, until_ns })
    }

    /// How many listen now.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.0.live.receiver_count()
    }
}

impl EventStream {
    /// The next event that fits the filters; `None` after `until` or when the engine is gone.
    pub async fn next(&mut self) -> Option<Arc<EventMessage>> {
        loop {
            let event = match self.replay.pop_front() {
                Some(event) => event,
                None => self.next_live().await?,
            };
            if self.until_ns.is_some_and(|until| event.time_nano > until) {
                return None;
            }
            if matches(&event, &self.filters) {
                return Some(event);
            }
        }
    }

    async fn next_live(&mut self) -> Option<Arc<EventMessage>> {
        loop {
            let received = match self.until_ns {
                Some(until) => {
                    let left = Duration::from_nanos(u64::try_from(until - now_ns()).unwrap_or(0));
                    tokio::time::timeout(left, self.live.recv()).await.ok()?
                }
                None => self.live.recv().await,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a listener of events was too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Whether an event passes; the rules of each key are Docker's.
fn matches(event: &EventMessage, filters: &Filters) -> bool {
    filters.exact_match("type", &event.kind)
        && filters.exact_match("scope", &event.scope)
        && filters.allows("event", |wanted| action_matches(&event.action, wanted))
        && names_match(event, filters)
        && image_matches(event, filters)
        && filters.match_labels("label", &event.actor.attributes)
}

fn action_matches(action: &str, wanted: &str) -> bool {
    // These carry a detail behind a colon, which a filter may leave out.
    const WITH_DETAIL: [&str; 3] = ["health_status", "exec_create", "exec_start"];
    action == wanted || (WITH_DETAIL.contains(&wanted) && action.starts_with(wanted))
}

fn names_match(event: &EventMessage, filters: &Filters) -> bool {
    const KEYS: [&str; 9] = [
        "config",
        "container",
        "daemon",
        "network",
        "node",
        "plugin",
        "secret",
        "service",
        "volume",
    ];
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    KEYS.iter().all(|key| {
        filters.allows(key, |wanted| event.actor.id.starts_with(wanted) || name.starts_with(wanted))
    })
}

fn image_matches(event: &EventMessage, filters: &Filters) -> bool {
    let attribute = if event.kind == "container" { "image" } else { "name" };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    [event.actor.id.as_str(), name, without_tag(&event.actor.id), without_tag(name)]
        .iter()
        .any(|candidate| filters.exact_match("image", candidate))
}

/// The name without its tag; a registry's port is none.
fn without_tag(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[tokio::test]
    async fn replays_then_follows_without_a_gap() {
        let events = Events::default();
        for n in 0..REPLAY + 10 {
            events.publish(EventKind::Container, format!("a{n}"), "id", BTreeMap::new());
        }
        let mut stream = events.subscribe(Some(0), None, Filters::new()).unwrap();
        events.publish(EventKind::Container, "last", "id", BTreeMap::new());
        assert_eq!(stream.next().await.unwrap().action, "a10", "the oldest ten were dropped");
        let mut last = String::new();
        for _ in 1..=REPLAY {
            last.clone_from(&stream.next().await.unwrap().action);
        }
        assert_eq!(last, "last");
    }

    #[tokio::test]
    async fn until_in_the_past_ends_at_once() {
        let events = Events::default();
        events.publish(EventKind::Image, "pull", "busybox", BTreeMap::new());
        let mut stream = events.subscribe(Some(0), Some(now_ns()), Filters::new()).unwrap();
        assert_eq!(stream.next().await.unwrap().action, "pull");
        assert_eq!(stream.next().await, None);
    }

    #[test]
    fn filters_are_dockers() {
        let event = EventMessage {
            kind: "container".into(),
            action: "exec_start: sh -c true".into(),
            actor: EventActor {
                id: "abcdef".into(),
                attributes: attributes(&[
                    ("name", "web"),
                    ("image", "reg:5000/box:1"),
                    ("tier", "x"),
                ]),
            },
            ..EventMessage::default()
        };
        for (filters, want) in [
            ("{}", true),
            (r#"{"type":["container"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"event":["exec_start"]}"#, true),
            (r#"{"event":["start"]}"#, false),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["abc"]}"#, true),
            (r#"{"container":["db"]}"#, false),
            (r#"{"image":["reg:5000/box"]}"#, true),
            (r#"{"image":["reg:5000/box:1"]}"#, true),
            (r#"{"image":["box"]}"#, false),
            (r#"{"label":["tier=x"]}"#, true),
            (r#"{"label":["tier=y"]}"#, false),
        ] {
            assert_eq!(matches(&event, &Filters::parse(filters).unwrap()), want, "{filters}");
        }
        let odd = Filters::parse(r#"{"odd":["1"]}"#).unwrap();
        assert!(Events::default().subscribe(None, None, odd).is_err());
    }
}
