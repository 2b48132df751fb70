//! Volume plugins, played by a small server in this test.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A plugin: keeps volumes as directories, and notes what it is asked.
struct Plugin {
    asked: Arc<Mutex<Vec<String>>>,
    socket: PathBuf,
}

impl Plugin {
    fn start(home: &Home, name: &str) -> Self {
        let config = home.plugins();
        fs::create_dir_all(&config.sockets).unwrap();
        let socket = config.sockets.join(format!("{name}.sock"));
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (notes, root) = (Arc::clone(&asked), home.dir.path().join(format!("{name}-data")));
        fs::create_dir_all(&root).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &root, &notes);
            }
        });
        Self { asked, socket }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(mut stream: UnixStream, root: &Path, notes: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let method = first.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let ask: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let name = ask["Name"].as_str().unwrap_or_default().to_owned();
    let note = [method.as_str(), &name, ask["ID"].as_str().unwrap_or("")].join(" ");
    notes.lock().unwrap().push(note.trim().to_owned());
    if name.starts_with("hang") && method != "VolumeDriver.Get" {
        std::thread::sleep(Duration::from_secs(2));
    }
    let (status, answer) = reply(&method, &name, root);
    let answer = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
    // The asker may have given up.
    let _ = stream.write_all((head + &answer).as_bytes());
}

fn reply(method: &str, name: &str, root: &Path) -> (u16, serde_json::Value) {
    use serde_json::json;
    let path = root.join(name);
    let about =
        |name: &str| json!({ "Name": name, "Mountpoint": root.join(name), "Status": { "a": 1 } });
    let answer = match method {
        "Plugin.Activate" => json!({ "Implements": ["VolumeDriver"] }),
        "VolumeDriver.Capabilities" => json!({ "Capabilities": { "Scope": "Global" } }),
        "VolumeDriver.Create" if name == "never" => json!({ "Err": "told to fail" }),
        "VolumeDriver.Create" => {
            fs::create_dir_all(&path).unwrap();
            json!({ "Err": "" })
        }
        "VolumeDriver.Get" if path.is_dir() => json!({ "Volume": about(name), "Err": null }),
        "VolumeDriver.Get" => json!({ "Err": "no such thing" }),
        "VolumeDriver.List" => {
            let entries = fs::read_dir(root).unwrap().flatten();
            let all = entries.map(|e| about(e.file_name().to_str().unwrap()));
            json!({ "Volumes": all.collect::<Vec<_>>() })
        }
        "VolumeDriver.Mount" if name == "bad" => json!({ "Err": "cannot mount" }),
        "VolumeDriver.Mount" => json!({ "Mountpoint": path }),
        "VolumeDriver.Path" => json!({ "Mountpoint": path }),
        "VolumeDriver.Remove" if name == "stay" => return (500, json!({ "Err": "it stays" })),
        "VolumeDriver.Remove" => {
            fs::remove_dir_all(&path).unwrap();
            json!({})
        }
        _ => json!({}),
    };
    (200, answer)
}

fn of(plugin: &str, name: &str) -> CreateVolume {
    CreateVolume { driver: plugin.to_owned(), ..named(name) }
}

#[test]
fn a_plugins_volume_lives_and_dies() {
    let home = home();
    let volumes = home.open();
    let plugin = Plugin::start(&home, "pp");
    assert!(volumes.create(of("pp", "data")).unwrap().is_new);
    assert!(!volumes.create(of("pp", "data")).unwrap().is_new);
    assert!(!volumes.create(named("data")).unwrap().is_new, "whoever has it");
    let error = volumes.create(of("local", "data")).unwrap_err();
    let want = "create data: driver 'pp' already has volume 'data': volume name must be unique";
    assert_eq!(error.to_string(), want);
    let shown = volumes.inspect("data").unwrap();
    assert_eq!((shown.scope.as_str(), shown.volume.driver.as_str()), ("global", "pp"));
    assert_eq!(shown.status["a"], 1);
    plugin.asked();
    let path = volumes.mount("data", "c1").unwrap();
    assert_eq!(path, home.dir.path().join("pp-data/data"));
    assert_eq!(volumes.mountpoint("data"), path);
    volumes.unmount("data", "c1").unwrap();
    assert_eq!(plugin.asked(), ["VolumeDriver.Mount data c1", "VolumeDriver.Unmount data c1"]);
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), "image").unwrap();
    let open = gantry_archive::open_root(source.path()).unwrap();
    volumes.copy_up("data", open.as_fd()).unwrap();
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "image");
    volumes.create(named("own")).unwrap();
    let names = |volumes: &Volumes| -> Vec<String> {
        volumes.shown().0.into_iter().map(|shown| shown.volume.name).collect()
    };
    assert_eq!(names(&volumes), ["data", "own"]);
    volumes.remove("data", false, &nobody).unwrap();
    assert!(!path.exists());
    assert_eq!(names(&volumes), ["own"]);
}

#[test]
fn volumes_that_others_made_are_found() {
    let home = home();
    let volumes = home.open();
    let _plugin = Plugin::start(&home, "pp");
    fs::create_dir(home.dir.path().join("pp-data/theirs")).unwrap();
    assert_eq!(volumes.shown().0[0].volume.name, "theirs");
    assert_eq!(volumes.inspect("theirs").unwrap().volume.driver, "pp");
    assert!(!volumes.create(named("theirs")).unwrap().is_new);
    fs::remove_dir(home.dir.path().join("pp-data/theirs")).unwrap();
    assert!(volumes.inspect("theirs").is_err());
    let created = volumes.create(named("theirs")).unwrap();
    assert!(created.is_new && created.volume.is_local(), "gone behind our back");
}

#[test]
fn refusals_are_the_plugins_own_words() {
    let home = home();
    let volumes = home.open();
    let _plugin = Plugin::start(&home, "pp");
    let error = volumes.create(of("pp", "never")).unwrap_err();
    assert_eq!(error.to_string(), "create never: told to fail");
    volumes.create(of("pp", "bad")).unwrap();
    assert_eq!(volumes.mount("bad", "c1").unwrap_err().to_string(), "cannot mount");
    volumes.create(of("pp", "stay")).unwrap();
    let error = volumes.remove("stay", false, &nobody).unwrap_err();
    assert_eq!(error.to_string(), "remove stay: VolumeDriver.Remove: it stays");
    volumes.remove("stay", true, &nobody).unwrap();
}

#[test]
fn a_plugin_that_hangs_or_dies_is_an_error_in_time() {
    let home = home();
    let volumes = home.open();
    let begin = std::time::Instant::now();
    let plugin = Plugin::start(&home, "pp");
    fs::create_dir(home.dir.path().join("pp-data/hang")).unwrap();
    volumes.create(of("pp", "hang")).unwrap();
    let error = volumes.mount("hang", "c1").unwrap_err();
    let want = "VolumeDriver.Mount: plugin \"pp\": no answer within the time limit";
    assert_eq!(error.to_string(), want);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    // Other volumes are not held up by it.
    volumes.create(named("own")).unwrap();
    // One that accepts and says nothing, from the first word on.
    let mute = home.plugins().sockets.join("mute.sock");
    let _mute = UnixListener::bind(mute).unwrap();
    let error = volumes.create(of("mute", "data")).unwrap_err().to_string();
    let want = "create data: Plugin.Activate: plugin \"mute\": no answer within the time limit";
    assert_eq!(error, want);
    // A list does not wait for it again.
    let warning = "plugin \"mute\" did not answer its activation".to_owned();
    assert!(volumes.shown().1.contains(&warning));
    // Gone, its socket still there.
    let dead = home.plugins().sockets.join("dead.sock");
    drop(UnixListener::bind(dead).unwrap());
    let error = volumes.create(of("dead", "data")).unwrap_err().to_string();
    assert!(error.ends_with("plugin \"dead\": connection refused"), "{error}");
    fs::remove_file(plugin.socket).unwrap();
    let error = volumes.mount("hang", "c1").unwrap_err().to_string();
    assert_eq!(error, "error looking up volume plugin pp: plugin \"pp\" not found");
    assert!(volumes.get("data").is_err());
}
