//! `volume`.

use gantry_client::Query;
use gantry_gotemplate::Value;
use serde_json::{Value as Json, json};
use tokio::io::AsyncRead;

use crate::app::{Call, Outcome, for_each};
use crate::container::list::render_quiet;
use crate::container::reason;
use crate::format::{self, Row, View, labels_map, labels_text};
use crate::image::transfer;
use crate::output::out;
use crate::term;

/// Fields of a row.
pub(crate) const FIELDS: &[(&str, &str)] = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

/// Flags of `name=value` as a JSON object.
pub(crate) fn object(pairs: &[String]) -> Json {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), Json::String(value.to_owned()))
    };
    Json::Object(pairs.iter().map(pair).collect())
}

/// Labels of a document.
pub(crate) fn labels_of(document: &Json) -> gantry_api_types::Map {
    let labels = document["Labels"].as_object().into_iter().flatten();
    labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect()
}

/// A volume as a row.
#[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
pub(crate) fn row(volume: &Json) -> Row {
    let text = |key: &str| volume[key].as_str().unwrap_or("").to_owned();
    let labels = labels_of(volume);
    let usage = &volume["UsageData"];
    let missing = || "N/A".to_owned();
    let values: [String; 10] = [
        missing(),
        text("Driver"),
        missing(),
        labels_text(&labels),
        usage["RefCount"].as_i64().map_or_else(missing, |count| count.to_string()),
        text("Mountpoint"),
        text("Name"),
        text("Scope"),
        usage["Size"]
            .as_i64()
            .map_or_else(missing, |size| format::units::human_size(size as f64, 4)),
        missing(),
    ];
    Row { values: values.into_iter().map(Value::from).collect(), labels: Some(labels_map(&labels)) }
}

/// `volume ls`.
pub(crate) async fn list(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let quiet = flags.is_on("quiet");
    let mut wanted = flags.text("format");
    if wanted.is_empty() && !quiet {
        wanted = call.app.config.text("volumesFormat");
    }
    let query = Query::new().with_some("filters", format::filters(flags.list("filter"))?);
    let client = call.client().await?;
    let answer: Json = client.volume_list(&query).await?;
    let mut volumes = answer["Volumes"].as_array().cloned().unwrap_or_default();
    let sizes = flags.is_on("size");
    if sizes {
        let usage: Json = client.disk_usage(&Query::new().with("type", "volume")).await?;
        measure(&mut volumes, &usage);
    }
    volumes.sort_by_key(|volume| volume["Name"].as_str().unwrap_or("").to_owned());
    let rows = volumes.iter().map(row).collect();
    let view = View { type_name: "*formatter.volumeContext", fields: FIELDS, rows };
    let table = match (quiet, sizes) {
        (true, _) => "{{.Name}}",
        (_, true) => "{{.Driver}}\t{{.Name}}\t{{.Size}}",
        _ => "{{.Driver}}\t{{.Name}}",
    };
    out(render_quiet(&view, wanted, table, quiet)?)?;
    Ok(0)
}

/// Puts the figures of `system df` to the volumes that it has: local ones of no other device.
fn measure(volumes: &mut [Json], usage: &Json) {
    // The newer form of the answer has them one level deeper.
    let measured = usage["Volumes"].as_array().or(usage["VolumeUsage"]["Items"].as_array());
    for volume in volumes {
        let known = measured.into_iter().flatten().find(|known| known["Name"] == volume["Name"]);
        if let Some(known) = known {
            volume["UsageData"] = known["UsageData"].clone();
        }
    }
}

/// How an archive of this name is compressed, as the API says it.
fn compression_of(name: &str) -> &'static str {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    match () {
        () if ends(&[".gz", ".tgz"]) => "gzip",
        () if ends(&[".zst", ".tzst"]) => "zstd",
        () if ends(&[".xz", ".txz"]) => "xz",
        () if ends(&[".bz2", ".tbz2", ".tbz"]) => "bzip2",
        () => "none",
    }
}

/// `volume backup`.
pub(crate) async fn backup(call: &Call<'_>) -> Outcome {
    let output = match call.flags.text("output") {
        "-" => "",
        path => path,
    };
    if output.is_empty() && term::stdout_is_terminal() {
        return Err("refusing to write an archive to a terminal, use -o or redirect".into());
    }
    transfer::check_output(output, "failed to back up volume: ")?;
    let query = Query::new().with("compression", compression_of(output));
    let response = call.client().await?.volume_backup(&call.args[0], &query).await?;
    let bar = transfer::progress(None, "Backing up", output.is_empty());
    transfer::download(response.body, output, Some(bar)).await?;
    Ok(0)
}

/// `volume restore`.
pub(crate) async fn restore(call: &Call<'_>) -> Outcome {
    let input = call.flags.text("input");
    let reader: Box<dyn AsyncRead + Send + Sync + Unpin> = match input {
        "" | "-" if term::stdin_is_terminal() => {
            return Err("refusing to read an archive from a terminal, use -i or redirect".into());
        }
        "" | "-" => Box::new(tokio::io::stdin()),
        path => {
            let opened = tokio::fs::File::open(path).await;
            let file = opened.map_err(|error| format!("open {path}: {}", reason(&error)))?;
            let total = file.metadata().await.ok().map(|metadata| metadata.len());
            let bar = transfer::progress(total, "Restoring", false);
            Box::new(transfer::Counted { inner: file, bar })
        }
    };
    let query = Query::new().with_flag("replace", call.flags.is_on("force"));
    let name = &call.args[0];
    call.client().await?.volume_restore(name, &query, reader).await?;
    out(format!("{name}\n"))?;
    Ok(0)
}

/// `volume clone`.
pub(crate) async fn duplicate(call: &Call<'_>) -> Outcome {
    let [source, wanted] = call.args.as_slice() else { return Ok(0) };
    let volume: Json = call.client().await?.volume_clone(source, wanted).await?;
    out(format!("{}\n", volume["Name"].as_str().unwrap_or("")))?;
    Ok(0)
}

/// `volume create`.
pub(crate) async fn create(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let named = flags.text("name");
    if !named.is_empty() && !call.args.is_empty() {
        return Err("conflicting options: cannot specify a volume-name through both --name and as a positional arg".into());
    }
    let name = call.args.first().map_or(named, String::as_str);
    let body = json!({
        "Driver": flags.text("driver"),
        "DriverOpts": object(flags.list("opt")),
        "Labels": object(flags.list("label")),
        "Name": name,
    });
    let volume: Json = call.client().await?.volume_create(&body).await?;
    out(format!("{}\n", volume["Name"].as_str().unwrap_or("")))?;
    Ok(0)
}

/// `volume rm`.
pub(crate) async fn remove(call: &Call<'_>) -> Outcome {
    let client = call.client().await?;
    let force = call.flags.is_on("force");
    for_each(&call.args, async |name| {
        client.volume_remove(name, force).await?;
        Ok(format!("{name}\n"))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_compression() {
        for (name, want) in [
            ("a.tar", "none"),
            ("a.tar.gz", "gzip"),
            ("a.tgz", "gzip"),
            ("a.tar.zst", "zstd"),
            ("a.txz", "xz"),
            ("a.tar.bz2", "bzip2"),
            ("", "none"),
        ] {
            assert_eq!(compression_of(name), want, "{name}");
        }
    }

    #[test]
    fn sizes_are_put_to_what_was_measured() {
        let mut volumes = [json!({ "Name": "a" }), json!({ "Name": "b" })];
        measure(&mut volumes, &json!({ "Volumes": [{ "Name": "b", "UsageData": { "Size": 5 } }] }));
        assert!(volumes[0]["UsageData"].is_null());
        assert_eq!(volumes[1]["UsageData"]["Size"], 5);
    }
}
