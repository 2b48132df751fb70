//! `network why-reachable` and `network doctor`, which Docker does not have.

use gantry_api_types::network::{NetworkReport, Reach};
use gantry_client::Query;
use gantry_gotemplate::Value;

use crate::app::{Call, Outcome};
use crate::format::{self, Row, View};
use crate::output::out;

const REACH: &[(&str, &str)] = &[
    ("From", "FROM"),
    ("Network", "NETWORK"),
    ("Address", "ADDRESS"),
    ("Reachable", "REACHABLE"),
    ("Why", "WHY"),
];
const CHECKS: &[(&str, &str)] =
    &[("Check", "CHECK"), ("State", "STATE"), ("Detail", "DETAIL"), ("Remedy", "REMEDY")];

/// Exit code of a doctor that found something.
const FOUND: u8 = 1;

fn reach_view(rows: &[Reach], plain: bool) -> View {
    // A table has yes and no, a template true and false.
    let said = |reachable: bool| match (plain, reachable) {
        (false, reachable) => Value::Bool(reachable),
        (true, true) => Value::from("yes"),
        (true, false) => Value::from("no"),
    };
    let row = |reach: &Reach| Row {
        values: vec![
            Value::from(reach.from.as_str()),
            Value::from(reach.network.as_str()),
            Value::from(reach.address.as_str()),
            said(reach.reachable),
            Value::from(reach.why.as_str()),
        ],
        labels: None,
    };
    View { type_name: "*network.reachContext", fields: REACH, rows: rows.iter().map(row).collect() }
}

/// `network why-reachable`.
pub(crate) async fn why_reachable(call: &Call<'_>) -> Outcome {
    let mut query = Query::new().with("container", &call.args[0]);
    if let Some(port) = call.args.get(1) {
        query = query.with("port", port);
    }
    let rows: Vec<Reach> = call.client().await?.network_reach(&query).await?;
    let wanted = call.flags.text("format");
    let plain = wanted.is_empty() || wanted.starts_with("table");
    let table = "{{.From}}\t{{.Address}}\t{{.Reachable}}\t{{.Why}}";
    out(format::render(&reach_view(&rows, plain), wanted, table)?)?;
    Ok(0)
}

fn report_view(report: &NetworkReport) -> View {
    let rows = report.checks.iter().map(|check| {
        Row::of([
            check.check.clone(),
            check.state.clone(),
            check.detail.clone(),
            check.remedy.clone(),
        ])
    });
    View { type_name: "*network.checkContext", fields: CHECKS, rows: rows.collect() }
}

/// `network doctor`: fails when something is wrong that Gantry could not put right.
pub(crate) async fn doctor(call: &Call<'_>) -> Outcome {
    let report: NetworkReport = call.client().await?.network_doctor().await?;
    let table = "{{.Check}}\t{{.State}}\t{{.Detail}}\t{{.Remedy}}";
    out(format::render(&report_view(&report), call.flags.text("format"), table)?)?;
    Ok(if report.is_well() { 0 } else { FOUND })
}

#[cfg(test)]
mod tests {
    use gantry_api_types::network::NetworkCheck;

    use super::*;

    #[test]
    fn prints_who_reaches_what() {
        let reach = |from: &str, address: &str, reachable, why: &str| Reach {
            from: from.into(),
            network: "n1".into(),
            address: address.into(),
            reachable,
            why: why.into(),
        };
        let rows = [
            reach("this host", "127.0.0.1:8080/tcp", true, "published: map ports4"),
            reach("other hosts", "10.0.0.2:80/tcp", false, "not published: chain guard drops"),
        ];
        let table = "{{.From}}\t{{.Address}}\t{{.Reachable}}\t{{.Why}}";
        let text = format::render(&reach_view(&rows, true), "", table).expect("a table");
        assert_eq!(
            text,
            "FROM          ADDRESS              REACHABLE   WHY\n\
             this host     127.0.0.1:8080/tcp   yes         published: map ports4\n\
             other hosts   10.0.0.2:80/tcp      no          not published: chain guard drops\n"
        );
        let json = format::render(&reach_view(&rows[..1], false), "json", table).expect("JSON");
        assert_eq!(
            json,
            "{\"Address\":\"127.0.0.1:8080/tcp\",\"From\":\"this host\",\"Network\":\"n1\",\
             \"Reachable\":true,\"Why\":\"published: map ports4\"}\n"
        );
    }

    #[test]
    fn a_report_is_well_unless_something_failed() {
        let check = |state: &str| NetworkCheck {
            check: "forward policy".into(),
            state: state.into(),
            detail: "chain ip filter FORWARD drops".into(),
            remedy: String::new(),
        };
        for (states, well) in [(&["ok", "healed"][..], true), (&["ok", "failed"], false)] {
            let checks = states.iter().map(|state| check(state)).collect();
            assert_eq!(NetworkReport { checks }.is_well(), well, "{states:?}");
        }
    }
}
