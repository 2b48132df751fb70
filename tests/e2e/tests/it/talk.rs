//! The example of the talks: a database whose data is a volume, and a client that finds it by a
//! link.

use std::time::Duration;

use gantry_rig::Client;

use crate::debian::import_debian;

/// Longest time for the server to answer.
const LIMIT: Duration = Duration::from_secs(60);
/// Root without a password is for the socket alone; the client gets an account of its own.
/// Nobody can be asked for names here, so the server does not look for that of its client.
const SERVER: &str = "
    mkdir -p /run/mysqld && chown mysql:mysql /run/mysqld
    cat >/tmp/init.sql <<'END'
create user if not exists 'talk'@'%' identified by 'secret';
create database if not exists talk;
grant all on talk.* to 'talk'@'%';
END
    exec mariadbd --user=mysql --bind-address=0.0.0.0 --skip-name-resolve --init-file=/tmp/init.sql
";
/// What the talks type.
const MYSQL: &str = r#"exec mysql -h"$DB_PORT_3306_TCP_ADDR" -P"$DB_PORT_3306_TCP_PORT" -utalk -psecret talk -N -B -e "$0""#;

fn serve(client: &Client, network: &[&str]) {
    let args = ["run", "-d", "--name", "mariadb", "--expose", "3306", "-e", "MYSQL_DATABASE=talk"];
    let rest = ["-v", "data:/var/lib/mysql", "debian", "sh", "-c", SERVER];
    let _ = client.docker(&[&args[..], network, &rest].concat()).ok();
}

/// Asks the server in a container that is linked to it.
fn ask(client: &Client, network: &[&str], question: &str) -> gantry_rig::Ran {
    let args = ["run", "--rm", "--link", "mariadb:db"];
    client.docker(&[&args[..], network, &["debian", "sh", "-c", MYSQL, question]].concat())
}

#[track_caller]
fn answers(client: &Client, network: &[&str], question: &str, answer: &str) {
    let mut last = None;
    let begin = std::time::Instant::now();
    while begin.elapsed() < LIMIT {
        let ran = ask(client, network, question);
        if ran.code == 0 && ran.stdout.trim_end() == answer {
            return;
        }
        last = Some(ran);
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{question}: {last:?}; {:?}", client.docker(&["logs", "mariadb"]));
}

#[test]
fn a_linked_client_and_data_that_stays() {
    let daemon = crate::gantry();
    let client = daemon.client();
    import_debian(&client);
    serve(&client, &[]);
    answers(&client, &[], "select 6 * 7", "42");
    let make = "create table visits (place varchar(40)); insert into visits values ('harbour')";
    let _ = ask(&client, &[], make).ok();
    // The link's other words.
    let script =
        "env | grep ^DB_ | sort; getent hosts db | awk '{print $1}'; grep -w db /etc/hosts";
    let ran = client.docker(&[
        "run",
        "--rm",
        "--name",
        "shows",
        "--link",
        "mariadb:db",
        "debian",
        "sh",
        "-c",
        script,
    ]);
    let bridge = client.inspect("mariadb")["NetworkSettings"]["Networks"]["bridge"].clone();
    let address = bridge["IPAddress"].as_str().unwrap();
    let id = client.inspect("mariadb")["Id"].as_str().unwrap()[..12].to_owned();
    let wanted = format!(
        "DB_ENV_MYSQL_DATABASE=talk\nDB_NAME=/shows/db\nDB_PORT=tcp://{address}:3306\n\
         DB_PORT_3306_TCP=tcp://{address}:3306\nDB_PORT_3306_TCP_ADDR={address}\n\
         DB_PORT_3306_TCP_PORT=3306\nDB_PORT_3306_TCP_PROTO=tcp\n{address}\n{address}\tdb {id} mariadb"
    );
    assert_eq!(ran.ok(), wanted);
    // Killed without notice, as `rm -f` does; another on the same volume has the data.
    let _ = client.docker(&["rm", "-f", "mariadb"]).ok();
    serve(&client, &[]);
    answers(&client, &[], "select place from visits", "harbour");
    // The same on a network of one's own, where the name is the alias and no more is needed.
    let _ = client.docker(&["rm", "-f", "-v", "mariadb"]).ok();
    let _ = client.docker(&["network", "create", "talk"]).ok();
    let network = ["--network", "talk"];
    serve(&client, &network);
    let by_name =
        r#"exec mysql -hdb -P3306 -utalk -psecret talk -N -B -e "select place from visits""#;
    client.eventually("the alias answers", LIMIT, |client| {
        let args = [
            "run",
            "--rm",
            "--network",
            "talk",
            "--link",
            "mariadb:db",
            "debian",
            "sh",
            "-c",
            by_name,
        ];
        client.docker(&args).stdout == "harbour\n"
    });
    let _ = client.docker(&["rm", "-f", "mariadb"]).ok();
    let _ = client.docker(&["volume", "rm", "data"]).ok();
}
