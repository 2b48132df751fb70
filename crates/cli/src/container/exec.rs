//! `exec`.

use gantry_client::Client;
use serde_json::{Value, json};

use crate::app::{Call, Outcome};
use crate::container::attach::{End, Join, follow_size, join, keys_text};
use crate::container::files;
use crate::term;

/// `exec`.
pub(crate) async fn exec(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let (detach, tty) = (flags.is_on("detach"), flags.is_on("tty"));
    let stdin = flags.is_on("interactive") && !detach;
    let env = files::env(flags.list("env-file"), flags.list("env"))?;
    let keys = keys_text(call);
    let detach_keys = term::detach_keys(keys)?;
    if tty && stdin && !term::stdin_is_terminal() {
        return Err("the input device is not a TTY".into());
    }
    let client = call.client().await?;
    let name = call.args[0].as_str();
    // The container must be there before anything else is said about it.
    let _: Value = client.container_inspect(name, false).await?;
    let size = if tty { term::size().map(|(height, width)| [height, width]) } else { None };
    let mut body = json!({
        "User": flags.text("user"),
        "Privileged": flags.is_on("privileged"),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStderr": !detach,
        "AttachStdout": !detach,
        "DetachKeys": keys,
        "Env": if env.is_empty() { Value::Null } else { env.into() },
        "WorkingDir": flags.text("workdir"),
        "Cmd": &call.args[1..],
    });
    if let Some(size) = size {
        body["ConsoleSize"] = json!(size);
    }
    let answer: Value = client.exec_create(name, &body).await?;
    let id = answer["Id"].as_str().unwrap_or("");
    if id.is_empty() {
        return Err("exec ID empty".into());
    }
    let mut start = json!({"Detach": detach, "Tty": tty});
    if let Some(size) = size {
        start["ConsoleSize"] = json!(size);
    }
    if detach {
        client.exec_start_detached(id, &start).await?;
        return Ok(0);
    }
    interactive(client, id, &start, &Join { stdin, output: true, tty, detach_keys }).await
}

async fn interactive(client: &Client, id: &str, start: &Value, joined: &Join) -> Outcome {
    let streams = client.exec_start(id, start).await?;
    let resize = async {
        if joined.tty && term::stdout_is_terminal() {
            follow_size(async |h, w| client.exec_resize(id, h, w).await.is_ok()).await;
        }
        std::future::pending::<()>().await
    };
    let end = tokio::select! {
        end = join(streams, joined) => end?,
        () = resize => End::Done,
    };
    if end == End::Detached {
        return Ok(0);
    }
    let state: Value = client.exec_inspect(id).await?;
    Ok(u8::try_from(state["ExitCode"].as_i64().unwrap_or(0) & 0xff).unwrap_or(1))
}
