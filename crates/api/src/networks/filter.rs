//! Which networks a list shows and a prune takes: pure.

use std::collections::BTreeMap;

use gantry_api_types::network::NetworkResource;
use gantry_api_types::{Filters, filters::FilterError};

use super::create::is_predefined;
use crate::error::{self, ApiError};
use crate::images::change::until;

/// Filters of a list, checked.
#[derive(Debug)]
pub(super) struct ListFilters {
    filters: Filters,
    dangling: Option<bool>,
}

impl ListFilters {
    /// Reads the filters of `GET /networks`.
    pub(super) fn read(filters: Filters) -> Result<Self, ApiError> {
        const KEYS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
        let refused = |refused: FilterError| error::filter(&refused);
        filters.validate(&KEYS).map_err(refused)?;
        let dangling = filters.get_bool("dangling").map_err(refused)?;
        let is_type = |kind: &&str| matches!(*kind, "builtin" | "custom");
        if let Some(kind) = filters.get("type").into_iter().find(|kind| !is_type(kind)) {
            return Err(ApiError::invalid(format!("invalid filter: 'type'='{kind}'")));
        }
        Ok(Self { filters, dangling })
    }

    /// Whether a network is shown; its document holds its endpoints.
    pub(super) fn fit(&self, network: &NetworkResource) -> bool {
        let predefined = is_predefined(&network.name);
        let kind = if predefined { "builtin" } else { "custom" };
        let used = network.containers.as_ref().is_some_and(|containers| !containers.is_empty());
        self.dangling.is_none_or(|dangling| dangling != (predefined || used))
            && self.filters.exact_match("type", kind)
            && self.filters.allows("name", |wanted| matches(wanted, &network.name))
            && self.filters.allows("id", |wanted| matches(wanted, &network.id))
            && self.filters.exact_match("driver", &network.driver)
            && self.filters.exact_match("scope", &network.scope)
            && self.filters.match_labels("label", &network.labels)
    }
}

/// Docker's filters are regular expressions that match somewhere, or the text itself.
///
/// Of expressions only the anchors are common with names; other characters stand for themselves.
fn matches(wanted: &str, have: &str) -> bool {
    let (begins, rest) = match wanted.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, wanted),
    };
    match (begins, rest.strip_suffix('$')) {
        (true, Some(text)) => have == text,
        (true, None) => have.starts_with(rest),
        (false, Some(text)) => have.ends_with(text),
        (false, None) => have.contains(rest),
    }
}

/// Filters of a prune, checked.
#[derive(Debug)]
pub(super) struct PruneFilters {
    filters: Filters,
    until_ns: Option<i64>,
}

impl PruneFilters {
    /// Reads the filters of `POST /networks/prune`.
    pub(super) fn read(filters: Filters) -> Result<Self, ApiError> {
        let refused = |refused: FilterError| error::filter(&refused);
        filters.validate(&["label", "label!", "until"]).map_err(refused)?;
        let until_ns = until(&filters)?;
        Ok(Self { filters, until_ns })
    }

    /// Whether an unused network is removed: never what is always there, nor a configuration.
    pub(super) fn fit(&self, network: &NetworkResource) -> bool {
        !is_predefined(&network.name)
            && !network.config_only
            && self.until_ns.is_none_or(|until| created_ns(network) < until)
            && self.filters.match_labels("label", &network.labels)
            && !self.filters.get("label!").iter().any(|label| has(label, &network.labels))
    }
}

fn created_ns(network: &NetworkResource) -> i64 {
    let created = network.created.parse::<jiff::Timestamp>().unwrap_or_default();
    i64::try_from(created.as_nanosecond()).unwrap_or(i64::MAX)
}

fn has(label: &str, labels: &BTreeMap<String, String>) -> bool {
    let one: Filters = [("label", label)].into_iter().collect();
    one.match_labels("label", labels)
}

#[cfg(test)]
mod tests {
    use gantry_api_types::network::EndpointResource;

    use super::*;

    fn networks() -> Vec<NetworkResource> {
        let network = |name: &str, driver: &str, id: &str| NetworkResource {
            name: name.into(),
            id: id.into(),
            driver: driver.into(),
            scope: "local".into(),
            created: "2026-01-01T00:00:00Z".into(),
            ..NetworkResource::default()
        };
        let mut all = vec![
            network("bridge", "bridge", "aa11"),
            network("none", "null", "bb22"),
            network("n1", "bridge", "cc33"),
            network("n12", "macvlan", "dd44"),
            network("cfg", "null", "ee55"),
        ];
        all[2].labels = [("a".to_owned(), "b".to_owned())].into();
        let endpoint = ("c".to_owned(), EndpointResource::default());
        all[3].containers = Some([endpoint].into());
        all[4].config_only = true;
        all
    }

    fn filters(text: &str) -> Filters {
        let pairs = text.split(' ').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').expect("a pair")).collect()
    }

    #[test]
    fn lists() {
        for (text, want) in [
            ("", "bridge none n1 n12 cfg"),
            ("name=n1", "n1 n12"),
            ("name=^n1$", "n1"),
            ("name=^n", "none n1 n12"),
            ("name=2$", "n12"),
            ("name=n12 name=cfg", "n12 cfg"),
            ("id=33", "n1"),
            ("driver=null", "none cfg"),
            ("driver=null driver=macvlan", "none n12 cfg"),
            ("type=builtin", "bridge none"),
            ("type=custom", "n1 n12 cfg"),
            ("type=custom type=builtin", "bridge none n1 n12 cfg"),
            ("scope=swarm", ""),
            ("label=a", "n1"),
            ("label=a=c", ""),
            ("dangling=true", "n1 cfg"),
            ("dangling=0", "bridge none n12"),
        ] {
            let read = ListFilters::read(filters(text)).expect(text);
            let all = networks();
            let names: Vec<_> =
                all.iter().filter(|n| read.fit(n)).map(|n| n.name.as_str()).collect();
            assert_eq!(names.join(" "), want, "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, want) in [
            ("nosuch=1", "invalid filter 'nosuch'"),
            ("type=x", "invalid filter: 'type'='x'"),
            ("dangling=maybe", "invalid filter 'dangling=[maybe]'"),
        ] {
            let refused = ListFilters::read(filters(text)).expect_err(text);
            assert_eq!((refused.status.as_u16(), refused.message.as_str()), (400, want));
        }
        for (text, want) in [
            ("dangling=1", "invalid filter 'dangling'"),
            ("until=x", "failed to parse value as time or duration: \"x\""),
            ("until=1h until=2h", "more than one until filter specified"),
        ] {
            let refused = PruneFilters::read(filters(text)).expect_err(text);
            assert_eq!((refused.status.as_u16(), refused.message.as_str()), (400, want));
        }
    }

    #[test]
    fn prunes() {
        for (text, want) in [
            ("", "n1 n12"),
            ("label=a=b", "n1"),
            ("label!=a", "n12"),
            ("until=2025-01-01", ""),
            ("until=2100-01-01", "n1 n12"),
        ] {
            let given: Filters = match text.strip_prefix("label!=") {
                Some(label) => [("label!", label)].into_iter().collect(),
                None => filters(text),
            };
            let read = PruneFilters::read(given).expect(text);
            let all = networks();
            let names: Vec<_> =
                all.iter().filter(|n| read.fit(n)).map(|n| n.name.as_str()).collect();
            assert_eq!(names.join(" "), want, "{text}");
        }
    }
}
