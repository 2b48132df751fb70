//! Events.

use crate::body::{Map, body, lower_body, omit};

lower_body! {
    /// One event of `GET /events`.
    pub struct EventMessage {
        /// Same as `action`, for containers and images; before 1.52.
        #[serde(skip_serializing_if = "omit")]
        pub status: String,
        /// Same as the actor's ID; before 1.52.
        #[serde(skip_serializing_if = "omit")]
        pub id: String,
        /// Container's image; before 1.52.
        #[serde(skip_serializing_if = "omit")]
        pub from: String,
        /// `container`, `image`, `network`, `volume`, `daemon`, ...
        #[serde(rename = "Type")]
        pub kind: String,
        /// What happened, `start`, `exec_create: sh`, ...
        #[serde(rename = "Action")]
        pub action: String,
        /// To whom.
        #[serde(rename = "Actor")]
        pub actor: EventActor,
        /// `local` or `swarm`.
        #[serde(skip_serializing_if = "omit")]
        pub scope: String,
        /// Unix time in s.
        #[serde(skip_serializing_if = "omit")]
        pub time: i64,
        /// Unix time in ns.
        #[serde(rename = "timeNano", skip_serializing_if = "omit")]
        pub time_nano: i64,
    }
}

body! {
    /// Object that an event is about.
    pub struct EventActor {
        /// ID or name.
        #[serde(rename = "ID")]
        pub id: String,
        /// Facts at the time of the event.
        pub attributes: Map,
    }
}

impl EventMessage {
    /// Fills the fields that left API 1.52, as Docker did: for containers and images only.
    pub fn fill_legacy(&mut self) {
        if self.kind == "container" {
            self.from = self.actor.attributes.get("image").cloned().unwrap_or_default();
        }
        if self.kind == "container" || self.kind == "image" {
            self.status.clone_from(&self.action);
            self.id.clone_from(&self.actor.id);
        }
    }
}
