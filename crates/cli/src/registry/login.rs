//! `login` and `logout`.

use std::io::{BufRead as _, Read as _};

use gantry_api_types::auth::{AuthConfig, AuthResponse};
use gantry_client::{Client, ClientError};

use super::keyring::host_of;
use crate::app::{Call, Failure, Outcome};
use crate::config::Config;
use crate::output::{err, out};
use crate::term;

/// Docker Hub, as configuration files know it.
pub(crate) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The longest password, bytes.
const PASSWORD_MAX: u64 = 64 << 10;

const HUB_HELP: &str = "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.\nYou can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better security and is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/\n\n";

/// `login`.
pub(crate) async fn login(call: &Call<'_>) -> Outcome {
    let flags = &call.flags;
    let (mut user, mut password) =
        (flags.text("username").to_owned(), flags.text("password").to_owned());
    let from_stdin = flags.is_on("password-stdin");
    if flags.is_given("password") {
        err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
        if from_stdin {
            return Err(
                "conflicting options: cannot specify both --password and --password-stdin".into()
            );
        }
    }
    if from_stdin {
        if user.is_empty() {
            return Err("the --password-stdin option requires --username to be set".into());
        }
        password = password_of_stdin()?;
    }
    let server = match call.args.first().map_or("", String::as_str) {
        "" | "docker.io" | "index.docker.io" => HUB_KEY,
        given => given,
    };
    // A registry's key is its host; Docker Hub's is a URL.
    let key = if server == HUB_KEY { server } else { host_of(server) };
    let mut config = Config::load(call.app.config.directory.clone())?;
    let known = config.credentials(key).unwrap_or_else(|why| {
        err(format!("WARNING: {why}\n"));
        AuthConfig::default()
    });
    let stored = user.is_empty() && password.is_empty();
    if stored && !known.username.is_empty() && has_secret(&known) {
        let user = &known.username;
        err(format!("Authenticating with existing credentials... [Username: {user}]\n\n"));
        let sign = if term::stderr_is_terminal() { "i Info →" } else { " Info ->" };
        err(format!(
            "{sign} To login with a different account, run 'docker logout' followed by 'docker login'\n\n\n"
        ));
        let client = call.client().await?;
        match check(client, known.clone()).await {
            Ok(answer) if answer.identity_token.is_empty() => return succeeded(&answer),
            Ok(answer) => return finish(&mut config, known, &answer),
            Err(error) if error.status() == Some(401) => {
                err("Stored credentials invalid or expired\n");
            }
            Err(error) => err(format!("Login did not succeed, error: {error}\n")),
        }
    }
    if user.is_empty() || password.is_empty() {
        (user, password) = ask(user, password, &known.username, key == HUB_KEY)?;
    }
    let credentials = AuthConfig {
        username: user,
        password,
        serveraddress: key.to_owned(),
        ..AuthConfig::default()
    };
    let client = call.client().await?;
    let answer = check(client, credentials.clone()).await?;
    finish(&mut config, credentials, &answer)
}

fn has_secret(config: &AuthConfig) -> bool {
    !config.password.is_empty() || !config.identitytoken.is_empty()
}

async fn check(client: &Client, credentials: AuthConfig) -> Result<AuthResponse, ClientError> {
    client.login(&credentials).await
}

/// Keeps what was found to be right.
fn finish(config: &mut Config, mut credentials: AuthConfig, answer: &AuthResponse) -> Outcome {
    if !answer.identity_token.is_empty() {
        credentials.password = String::new();
        credentials.identitytoken.clone_from(&answer.identity_token);
    }
    let plain = config
        .keep(&credentials)
        .map_err(|why| Failure::Text(format!("Error saving credentials: {why}")))?;
    if plain && !credentials.password.is_empty() {
        let path = config.directory.join("config.json");
        err(format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n\n",
            path.display()
        ));
    }
    succeeded(answer)
}

fn succeeded(answer: &AuthResponse) -> Outcome {
    if !answer.status.is_empty() {
        out(format!("{}\n", answer.status))?;
    }
    Ok(0)
}

/// Everything on standard input but the last line's end.
fn password_of_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().lock().take(PASSWORD_MAX).read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Asks the user for what is missing.
fn ask(
    user: String,
    password: String,
    default: &str,
    hub: bool,
) -> Result<(String, String), Failure> {
    if !term::stdin_is_terminal() {
        return Err("Error: Cannot perform an interactive login from a non TTY device".into());
    }
    let user = match user.is_empty() {
        false => user,
        true => {
            if hub {
                out(HUB_HELP)?;
            }
            let shown = if default.is_empty() { String::new() } else { format!(" ({default})") };
            out(format!("Username{shown}: "))?;
            let line = line()?;
            match line.trim() {
                "" if default.is_empty() => return Err("Error: username is required".into()),
                "" => default.to_owned(),
                given => given.to_owned(),
            }
        }
    };
    let password = match password.is_empty() {
        false => password,
        true => {
            out("Password: ")?;
            let line = {
                let _silence = term::Silent::enter();
                line()?
            };
            out("\n")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if password.is_empty() {
        return Err("Error: password is required".into());
    }
    Ok((user, password))
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// `logout`.
pub(crate) async fn logout(call: &Call<'_>) -> Outcome {
    let given = call.args.first().map_or("", String::as_str);
    let (shown, keys) = match given {
        "" => (HUB_KEY.to_owned(), vec![HUB_KEY.to_owned()]),
        server => {
            let host = host_of(server).to_owned();
            let keys = vec![
                server.to_owned(),
                host.clone(),
                format!("http://{host}"),
                format!("https://{host}"),
            ];
            (host, keys)
        }
    };
    out(format!("Removing login credentials for {shown}\n"))?;
    let mut config = Config::load(call.app.config.directory.clone())?;
    let failed: Vec<(String, String)> =
        keys.iter().filter_map(|key| Some((key.clone(), config.forget(key).err()?))).collect();
    // One of the ways to write it was the right one.
    if failed.len() == keys.len() {
        err("WARNING: could not erase credentials:\n");
        for (key, why) in failed {
            err(format!("{key}: {why}\n"));
        }
    }
    Ok(0)
}
