//! `info` and `dial-stdio`.

use gantry_gotemplate::Value;
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;

use crate::app::{Call, Failure, Outcome};
use crate::format::{self, units};
use crate::output::{err, out};

/// Lines of text with a name and a value.
struct Lines(String);

impl Lines {
    fn text(&mut self, indent: usize, name: &str, value: &Json) {
        let value = match value {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => other.to_string(),
        };
        self.line(indent, name, &value);
    }

    fn line(&mut self, indent: usize, name: &str, value: &str) {
        self.0.push_str(&format!("{:indent$}{name}: {value}\n", ""));
    }

    fn some(&mut self, name: &str, value: &Json) {
        if value.as_str().is_some_and(|text| !text.is_empty()) {
            self.text(1, name, value);
        }
    }

    fn list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.0.push_str(&format!(" {name}:\n"));
            for item in items {
                self.0.push_str(&format!("  {item}\n"));
            }
        }
    }
}

fn words(value: &Json) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn storage(lines: &mut Lines, info: &Json) {
    lines.text(1, "Server Version", &info["ServerVersion"]);
    if info["Driver"].as_str().is_some_and(|driver| !driver.is_empty()) {
        lines.text(1, "Storage Driver", &info["Driver"]);
        for pair in info["DriverStatus"].as_array().into_iter().flatten() {
            lines.text(2, pair[0].as_str().unwrap_or(""), &pair[1]);
        }
    }
    lines.some("Logging Driver", &info["LoggingDriver"]);
    lines.some("Cgroup Driver", &info["CgroupDriver"]);
    lines.some("Cgroup Version", &info["CgroupVersion"]);
    lines.0.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Authorization", "Log"] {
        let names = words(&info["Plugins"][kind]);
        if kind != "Authorization" || !names.is_empty() {
            lines.line(2, kind, &names.join(" "));
        }
    }
    lines.list("CDI spec directories", &words(&info["CDISpecDirs"]));
}

fn runtimes(lines: &mut Lines, info: &Json) {
    lines.text(1, "Swarm", &info["Swarm"]["LocalNodeState"]);
    if let Some(runtimes) = info["Runtimes"].as_object().filter(|runtimes| !runtimes.is_empty()) {
        let mut names: Vec<&str> = runtimes.keys().map(String::as_str).collect();
        names.sort_unstable();
        lines.line(1, "Runtimes", &names.join(" "));
        lines.text(1, "Default Runtime", &info["DefaultRuntime"]);
    }
    if info["OSType"] == "linux" {
        lines.text(1, "Init Binary", &info["InitBinary"]);
        for (name, key) in
            [("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")]
        {
            lines.text(1, &format!("{name} version"), &info[key]["ID"]);
        }
        security(lines, info);
    }
}

/// Options such as `name=seccomp,profile=default`: the name, then the rest below it.
fn security(lines: &mut Lines, info: &Json) {
    let options = words(&info["SecurityOptions"]);
    if options.is_empty() {
        return;
    }
    lines.0.push_str(" Security Options:\n");
    for option in options {
        let mut parts = option.split(',').filter_map(|part| part.split_once('='));
        lines
            .0
            .push_str(&format!("  {}\n", parts.next().map_or(option.as_str(), |(_, name)| name)));
        for (key, value) in parts {
            let mut key = key.to_owned();
            key[..1].make_ascii_uppercase();
            lines.line(3, &key, value);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "four digits of it are printed")]
fn host(lines: &mut Lines, info: &Json) {
    lines.some("Kernel Version", &info["KernelVersion"]);
    lines.some("Operating System", &info["OperatingSystem"]);
    lines.some("OSType", &info["OSType"]);
    lines.some("Architecture", &info["Architecture"]);
    lines.text(1, "CPUs", &info["NCPU"]);
    let memory = info["MemTotal"].as_u64().unwrap_or(0);
    lines.line(1, "Total Memory", &units::bytes_size(memory as f64));
    lines.some("Name", &info["Name"]);
    lines.some("ID", &info["ID"]);
    lines.text(1, "Docker Root Dir", &info["DockerRootDir"]);
    lines.text(1, "Debug Mode", &info["Debug"]);
    if info["Debug"] == true {
        lines.text(2, "File Descriptors", &info["NFd"]);
        lines.text(2, "Goroutines", &info["NGoroutines"]);
        lines.text(2, "System Time", &info["SystemTime"]);
        lines.text(2, "EventsListeners", &info["NEventsListener"]);
    }
    lines.some("HTTP Proxy", &info["HttpProxy"]);
    lines.some("HTTPS Proxy", &info["HttpsProxy"]);
    lines.some("No Proxy", &info["NoProxy"]);
    lines.list("Labels", &words(&info["Labels"]));
    lines.text(1, "Experimental", &info["ExperimentalBuild"]);
}

fn registries(lines: &mut Lines, info: &Json) {
    let config = &info["RegistryConfig"];
    let indexes = config["IndexConfigs"].as_object().into_iter().flatten();
    let mut insecure: Vec<String> = indexes
        .filter(|(_, index)| index["Secure"] == false)
        .map(|(name, _)| name.clone())
        .collect();
    insecure.extend(words(&config["InsecureRegistryCIDRs"]));
    lines.list("Insecure Registries", &insecure);
    lines.list("Registry Mirrors", &words(&config["Mirrors"]));
    lines.text(1, "Live Restore Enabled", &info["LiveRestoreEnabled"]);
    lines.some("Product License", &info["ProductLicense"]);
    if let Some(pools) = info["DefaultAddressPools"].as_array().filter(|pools| !pools.is_empty()) {
        lines.0.push_str(" Default Address Pools:\n");
        for pool in pools {
            let base = pool["Base"].as_str().unwrap_or("");
            lines.0.push_str(&format!("   Base: {base}, Size: {}\n", pool["Size"]));
        }
    }
    lines.some("Firewall Backend", &info["FirewallBackend"]["Driver"]);
    lines.0.push('\n');
}

fn server_text(info: &Json) -> String {
    let mut lines = Lines(String::new());
    lines.text(1, "Containers", &info["Containers"]);
    lines.text(2, "Running", &info["ContainersRunning"]);
    lines.text(2, "Paused", &info["ContainersPaused"]);
    lines.text(2, "Stopped", &info["ContainersStopped"]);
    lines.text(1, "Images", &info["Images"]);
    storage(&mut lines, info);
    runtimes(&mut lines, info);
    host(&mut lines, info);
    registries(&mut lines, info);
    lines.0
}

/// `info`.
pub(crate) async fn info(call: &Call<'_>) -> Outcome {
    let connected = call.client().await;
    let (server, failure): (Json, Option<Failure>) = match connected {
        Ok(client) => match client.info().await {
            Ok(info) => (info, None),
            Err(error) => (Json::Null, Some(error.into())),
        },
        Err(failure) => (Json::Null, Some(failure)),
    };
    let client = super::version::client(call, gantry_client::MAX_API_VERSION);
    let source = call.flags.text("format");
    if !source.is_empty() {
        return formatted(source, server, client, failure);
    }
    out(format!(
        "Client:\n Version:    {}\n Context:    {}\n Debug Mode: {}\n\nServer:\n",
        client["Version"].as_str().unwrap_or(""),
        call.app.context(),
        call.app.globals.is_on("debug")
    ))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    out(server_text(&server))?;
    for warning in words(&server["Warnings"]) {
        err(format!("{warning}\n"));
    }
    Ok(0)
}

fn formatted(source: &str, server: Json, client: Json, failure: Option<Failure>) -> Outcome {
    let mut whole = if server.is_object() { server } else { json!({"ServerErrors": []}) };
    whole["ClientInfo"] = client;
    let fields = match Value::from(whole.clone()) {
        Value::Map(map) => map.entries.into_iter().collect(),
        _ => Vec::new(),
    };
    let value = Value::Struct(Box::new(gantry_gotemplate::Struct {
        type_name: "system.dockerInfo".into(),
        fields,
        json: Some(whole),
        marshals: false,
        text: None,
    }));
    match format::one(source, &value) {
        Ok(text) => out(text + "\n")?,
        Err(why) => {
            out("\n")?;
            if let Some(failure) = &failure {
                err(format!("{}\n", failure.text()));
            }
            return Err(why.into());
        }
    }
    failure.map_or(Ok(0), Err)
}

/// `system dial-stdio`: the far end of an `ssh://` host.
pub(crate) async fn dial_stdio(call: &Call<'_>) -> Outcome {
    let client = call.app.untried_client()?;
    let (mut reader, mut writer) = tokio::io::split(client.dial().await?);
    let up = async {
        let copied = tokio::io::copy(&mut tokio::io::stdin(), &mut writer).await;
        let _ = writer.shutdown().await;
        // Its end is no reason to stop: the answer may still be on its way.
        match copied {
            Ok(_) => std::future::pending::<std::io::Result<()>>().await,
            Err(error) => Err(error),
        }
    };
    let down = async {
        let mut stdout = tokio::io::stdout();
        tokio::io::copy(&mut reader, &mut stdout).await?;
        stdout.flush().await
    };
    tokio::select! {
        done = down => done?,
        failed = up => failed?,
    }
    Ok(0)
}
