//! `RUN --mount`.

use std::collections::BTreeMap;

use gantry_dockerfile::{Expander, InstructionKind, Mount, MountType, Run, Sharing, parse};

fn run(mount: &str) -> Run {
    let file = parse(&format!("FROM a\nRUN --mount={mount} x\n"));
    let file = file.unwrap_or_else(|error| panic!("{mount}: {error}"));
    match &file.stages[0].instructions[0].kind {
        InstructionKind::Run(run) => run.clone(),
        other => panic!("{other:?}"),
    }
}

fn mount(mount: &str) -> Result<Mount, String> {
    let environment: BTreeMap<String, String> =
        [("target", "/t"), ("type", "cache"), ("size", "1k")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let mounts = run(mount).mounts(&mut Expander::new('\\', &environment));
    mounts.map(|mut mounts| mounts.swap_remove(0)).map_err(|error| error.to_string())
}

#[test]
fn all_types() {
    let bind = Mount { read_only: true, target: "/t".to_owned(), ..Mount::default() };
    let text = str::to_owned;
    for (written, want) in [
        ("target=/t", bind.clone()),
        ("type=bind,dst=/t", bind.clone()),
        ("TYPE=BIND,Destination=/t", bind.clone()),
        ("target=/t,rw", Mount { read_only: false, ..bind.clone() }),
        ("target=/t,readwrite=false", bind.clone()),
        ("target=/t,ro=0", Mount { read_only: false, ..bind.clone() }),
        (
            "from=build,src=/s,target=$target",
            Mount { from: text("build"), source: text("/s"), ..bind.clone() },
        ),
        (
            "type=$type,id=i,target=/t,sharing=LOCKED,mode=0700,uid=1,gid=2,source=/s,from=f",
            Mount {
                mount_type: MountType::Cache,
                id: Some(text("i")),
                target: text("/t"),
                sharing: Some(Sharing::Locked),
                mode: Some(0o700),
                uid: Some(1),
                gid: Some(2),
                source: text("/s"),
                from: text("f"),
                ..Mount::default()
            },
        ),
        ("type=cache,target=/t,readonly", Mount { mount_type: MountType::Cache, ..bind.clone() }),
        (
            "type=tmpfs,target=/t,size=$size",
            Mount {
                mount_type: MountType::Tmpfs,
                read_only: false,
                size_bytes: Some(1024),
                ..bind.clone()
            },
        ),
        (
            "type=secret,id=s,env=TOKEN,required",
            Mount {
                mount_type: MountType::Secret,
                id: Some(text("s")),
                env: Some(text("TOKEN")),
                required: true,
                read_only: true,
                ..Mount::default()
            },
        ),
        (
            "type=ssh,required=true,mode=600",
            Mount {
                mount_type: MountType::Ssh,
                required: true,
                read_only: true,
                mode: Some(0o600),
                ..Mount::default()
            },
        ),
        ("\\\"target=/t,x\\\"", Mount { target: text("/t,x"), ..bind }),
    ] {
        assert_eq!(mount(written), Ok(want), "{written}");
    }
}

#[test]
fn wrong_mounts() {
    for (written, want) in [
        ("type=bnd", "unsupported mount type \"bnd\" (did you mean bind?)"),
        ("type=volume", "unsupported mount type \"volume\""),
        ("targte=/t", "unexpected key 'targte' in 'targte=/t' (did you mean target?)"),
        ("xyz=/t", "unexpected key 'xyz' in 'xyz=/t'"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("target=/t,rw=x", "invalid value for rw: x"),
        ("target=/t,required", "unexpected key 'required' for mount type 'bind'"),
        ("target=/t,required=x", "unexpected key 'required' for mount type 'bind'"),
        ("type=ssh,required=x", "invalid value for required: x"),
        ("target=/t,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("type=cache,sharing=lockd", "unsupported sharing value \"lockd\" (did you mean locked?)"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,gid=+1", "invalid value +1 for gid"),
        ("type=cache,uid=4294967296", "invalid value 4294967296 for uid"),
        ("type=tmpfs,mode=7", "mode not allowed for \"tmpfs\" type mounts"),
        ("target=/t,uid=7", "uid not allowed for \"bind\" type mounts"),
        ("target=/t,gid=7", "gid not allowed for \"bind\" type mounts"),
        ("target=/t,sharing=shared", "invalid cache sharing set for bind mount"),
        ("target=/t,env=A", "unexpected key 'env' for mount type 'bind'"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
        ("target=${x:?no}", "failed to process \"${x:?no}\": x: no"),
    ] {
        assert_eq!(mount(written), Err(want.to_owned()), "{written}");
    }
}
