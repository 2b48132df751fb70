//! `version`.

use gantry_gotemplate::{Struct, Value};
use serde_json::{Value as Json, json};

use crate::app::{Call, DOCKER_VERSION, Failure, Outcome};
use crate::format::{self, tabs};
use crate::output::out;

/// The client's half, as the API would write it.
pub(crate) fn client(call: &Call<'_>, api_version: &str) -> Json {
    let docker = call.app.program == "docker";
    json!({
        "Version": if docker { DOCKER_VERSION } else { env!("CARGO_PKG_VERSION") },
        "ApiVersion": api_version,
        "DefaultAPIVersion": gantry_client::MAX_API_VERSION,
        "GitCommit": option_env!("GANTRY_COMMIT").unwrap_or("gantry"),
        "GoVersion": "none (Rust)",
        "Os": std::env::consts::OS,
        "Arch": architecture(),
        "BuildTime": option_env!("GANTRY_BUILD_TIME").unwrap_or(""),
        "Context": call.app.context(),
    })
}

/// The processor as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn word(value: &Json) -> &str {
    value.as_str().unwrap_or("")
}

/// The time in the form of C's `asctime`.
fn build_time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => {
            let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
            zoned.strftime("%a %b %e %H:%M:%S %Y").to_string()
        }
        Err(_) => text.to_owned(),
    }
}

fn client_text(client: &Json) -> String {
    let (version, default) = (word(&client["ApiVersion"]), word(&client["DefaultAPIVersion"]));
    let api = match version == default {
        true => version.to_owned(),
        false => format!("{version} (downgraded from {default})"),
    };
    let mut text = format!(
        "Client:\n Version:\t{}\n API version:\t{api}\n Go version:\t{}\n Git commit:\t{}\n",
        word(&client["Version"]),
        word(&client["GoVersion"]),
        word(&client["GitCommit"]),
    );
    text.push_str(&format!(
        " Built:\t{}\n OS/Arch:\t{}/{}\n Context:\t{}\n",
        word(&client["BuildTime"]),
        word(&client["Os"]),
        word(&client["Arch"]),
        word(&client["Context"])
    ));
    text
}

fn server_text(server: &Json) -> String {
    let platform = word(&server["Platform"]["Name"]);
    let mut text = match platform {
        "" => "\nServer:\n".to_owned(),
        name => format!("\nServer: {name}\n"),
    };
    for component in server["Components"].as_array().into_iter().flatten() {
        let details = &component["Details"];
        text.push_str(&format!(
            " {}:\n  Version:\t{}\n",
            word(&component["Name"]),
            word(&component["Version"])
        ));
        if component["Name"] == "Engine" {
            text.push_str(&format!(
                "  API version:\t{} (minimum version {})\n  Go version:\t{}\n  Git commit:\t{}\n  Built:\t{}\n  OS/Arch:\t{}/{}\n  Experimental:\t{}\n",
                word(&details["ApiVersion"]),
                word(&details["MinAPIVersion"]),
                word(&details["GoVersion"]),
                word(&details["GitCommit"]),
                build_time(word(&details["BuildTime"])),
                word(&details["Os"]),
                word(&details["Arch"]),
                word(&details["Experimental"]),
            ));
            continue;
        }
        let mut pairs: Vec<_> = details.as_object().into_iter().flatten().collect();
        pairs.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in pairs {
            text.push_str(&format!("  {name}:\t{}\n", word(value)));
        }
    }
    text
}

/// Both halves as a template sees them.
fn view(client: Json, server: Json) -> Value {
    let part = |name: &str, json: &Json| match Value::from(json.clone()) {
        Value::Map(map) => Value::Struct(Box::new(Struct {
            type_name: name.to_owned(),
            fields: map.entries.into_iter().collect(),
            json: Some(json.clone()),
            ..Struct::default()
        })),
        _ => Value::Nil,
    };
    let fields = vec![
        ("Client".to_owned(), part("system.clientVersion", &client)),
        ("Server".to_owned(), part("*types.Version", &server)),
    ];
    Value::Struct(Box::new(Struct {
        type_name: "system.versionInfo".into(),
        fields,
        json: Some(json!({"Client": client, "Server": server})),
        ..Struct::default()
    }))
}

/// `version`.
pub(crate) async fn version(call: &Call<'_>) -> Outcome {
    let source = call.flags.text("format");
    let connected = call.client().await;
    let answer: Result<Json, Failure> = match &connected {
        Ok(client) => client.server_version().await.map_err(Failure::from),
        Err(_) => Ok(Json::Null),
    };
    let api = match &connected {
        Ok(client) => client.version().unwrap_or(gantry_client::MAX_API_VERSION),
        Err(_) => gantry_client::MAX_API_VERSION,
    };
    let client = client(call, api);
    let failure = connected.err();
    let (server, failure) = match answer {
        Ok(server) => (server, failure),
        Err(error) => (Json::Null, Some(error)),
    };
    let mut text = if source.is_empty() {
        let mut text = client_text(&client);
        if !server.is_null() {
            text.push_str(&server_text(&server));
        }
        tabs::align(&text, 20, 1)
    } else {
        match format::one(source, &view(client, server)) {
            Ok(text) => text + "\n",
            Err(why) if failure.is_none() => {
                // Docker names this template, and ends the line that it did not print.
                out("\n")?;
                let why = why.replace("template: :", "template: version:");
                return Err(why.replace("executing \"\"", "executing \"version\"").into());
            }
            Err(_) => "\n".into(),
        }
    };
    if text.trim().is_empty() {
        text = "\n".into();
    }
    out(text)?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}
