//! Which endpoint gives the default route.

use std::cmp::Reverse;

/// What decides about an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) priority: i64,
    pub(crate) internal: bool,
    pub(crate) network: &'a str,
    /// Whether it has a gateway of IPv4.
    pub(crate) v4: bool,
    /// Whether it has a gateway of IPv6.
    pub(crate) v6: bool,
}

/// The endpoints that give the default routes, by their places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    pub(crate) v4: Option<usize>,
    pub(crate) v6: Option<usize>,
}

impl Gateways {
    /// Of the endpoints with a way out: the highest priority, then the first name of a network.
    ///
    /// As Docker has it, but that an internal network never gives a route, whatever its priority.
    pub(crate) fn choose(candidates: &[Candidate<'_>]) -> Gateways {
        let order = order(candidates);
        let first = |has: fn(&Candidate<'_>) -> bool| {
            let leads = |at: &usize| !candidates[*at].internal && has(&candidates[*at]);
            order.iter().copied().find(leads)
        };
        Gateways { v4: first(|candidate| candidate.v4), v6: first(|candidate| candidate.v6) }
    }
}

/// The endpoints in the order in which names are looked up and routes are given.
pub(crate) fn order(candidates: &[Candidate<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| {
        let Candidate { priority, internal, network, .. } = candidates[*at];
        (Reverse(priority), internal, network)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        // Priority, internal, name, IPv4, IPv6; then the gateways and the order.
        type Row = (i64, bool, &'static str, bool, bool);
        let plain = |name| (0, false, name, true, false);
        let dual = |name| (0, false, name, true, true);
        for (rows, v4, v6, want) in [
            (vec![], None, None, vec![]),
            (vec![plain("b")], Some(0), None, vec![0]),
            (vec![plain("b"), plain("a")], Some(1), None, vec![1, 0]),
            (vec![plain("b"), dual("a"), dual("c")], Some(1), Some(1), vec![1, 0, 2]),
            (vec![(0, true, "a", true, true), dual("b")], Some(1), Some(1), vec![1, 0]),
            (vec![(9, true, "a", true, true)], None, None, vec![0]),
            (vec![plain("a"), (1, false, "z", true, false)], Some(1), None, vec![1, 0]),
            (vec![(-1, false, "a", true, false), plain("z")], Some(1), None, vec![1, 0]),
            (vec![plain("a"), dual("b")], Some(0), Some(1), vec![0, 1]),
            (vec![(0, false, "a", false, true), plain("b")], Some(1), Some(0), vec![0, 1]),
        ] as [(Vec<Row>, _, _, _); 10]
        {
            let candidates: Vec<Candidate<'_>> = rows
                .iter()
                .map(|&(priority, internal, network, v4, v6)| Candidate {
                    priority,
                    internal,
                    network,
                    v4,
                    v6,
                })
                .collect();
            assert_eq!(Gateways::choose(&candidates), Gateways { v4, v6 }, "{rows:?}");
            assert_eq!(order(&candidates), want, "{rows:?}");
        }
    }
}
