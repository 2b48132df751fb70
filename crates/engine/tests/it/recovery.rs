//! A daemon that goes away while containers run, end and are removed.

use std::time::{Duration, Instant};

use gantry_engine::{Engine, RemoveOptions, WaitCondition};

use crate::bed::{create, host, on_host, output, script};

/// Lets go of everything that the engine holds, as the end of its process would.
async fn leave(engine: Engine) {
    engine.shutdown().await;
    drop(engine);
    // The drivers let go of the store when they end.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[test]
fn running_and_ended_containers_are_found_again() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let sleeper = create(&engine, script("exec /bin/sh sleep 100", |_| {})).await;
        let talker = create(&engine, script("/bin/sh sleep 1; echo late; exit 9", |_| {})).await;
        let quick = create(&engine, script("exit 6", |body| host(body).auto_remove = true)).await;
        sleeper.start().await.unwrap();
        talker.start().await.unwrap();
        let address = sleeper.inspect(false).network_settings.networks["bridge"].ip_address.clone();
        let (sleeper_id, talker_id, quick_id) =
            (sleeper.id().to_owned(), talker.id().to_owned(), quick.id().to_owned());
        drop((sleeper, talker, quick));
        leave(engine).await;
        tokio::time::sleep(Duration::from_millis(1300)).await;

        let engine = bed.engine().await;
        let sleeper = engine.container(&sleeper_id).unwrap();
        assert!(sleeper.is_running());
        let now = sleeper.inspect(false).network_settings.networks["bridge"].ip_address.clone();
        assert_eq!(now, address);
        let other = create(&engine, script("exec /bin/sh sleep 100", |_| {})).await;
        other.start().await.unwrap();
        let theirs = other.inspect(false).network_settings.networks["bridge"].ip_address.clone();
        assert_ne!(theirs, address, "the address is still the sleeper's");
        let talker = engine.container(&talker_id).unwrap();
        let state = talker.inspect(false).state;
        assert_eq!((state.status.as_str(), state.exit_code), ("exited", 9));
        assert_eq!(engine.container(&quick_id).unwrap().inspect(false).state.status, "created");
        let out = output(&sleeper).await;
        let ended = sleeper.wait(WaitCondition::NotRunning);
        sleeper.kill(None).await.unwrap();
        assert_eq!(ended.await.status_code, 137);
        out.await.unwrap();
        for container in engine.containers() {
            let force = RemoveOptions { force: true, ..RemoveOptions::default() };
            container.remove(force).await.unwrap();
        }
        drop((sleeper, other, talker));
        leave(engine).await;
    });
}

#[test]
fn policies_hold_over_a_restart() {
    on_host(|bed| async move {
        let engine = bed.engine().await;
        let policy = |name: &'static str| {
            script("exec /bin/sh sleep 100", move |body| {
                host(body).restart_policy.name = name.into();
            })
        };
        let always = create(&engine, policy("always")).await;
        let unless = create(&engine, policy("unless-stopped")).await;
        for container in [&always, &unless] {
            container.start().await.unwrap();
            container.stop(None, Some(0)).await.unwrap();
        }
        let ids = [always.id().to_owned(), unless.id().to_owned()];
        drop((always, unless));
        leave(engine).await;
        let engine = bed.engine().await;
        let [always, unless] = ids.map(|id| engine.container(&id).unwrap());
        let began = Instant::now();
        while !always.is_running() {
            assert!(began.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!unless.is_running());
        always.kill(None).await.unwrap();
        drop((always, unless));
        leave(engine).await;
    });
}
