//! Logs on disk: written, rotated, cut short, read from the end and followed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use gantry_logs::{Follower, LogConfig, LogFile, Query, Reader, Stream, Writer, compress};

fn config(directory: &Path, driver: &str, size: u64, files: u32, compress: bool) -> LogConfig {
    let file = LogFile {
        path: directory.join("c.log"),
        max_size_bytes: Some(size),
        max_files: files,
        compress,
        ..LogFile::default()
    };
    if driver == "local" { LogConfig::Local(file) } else { LogConfig::JsonFile(file) }
}

fn write(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let time_ns = i64::try_from(number).expect("small") * 1_000_000_000;
        writer
            .write(Stream::Stdout, format!("line {number}\n").as_bytes(), time_ns)
            .expect("write");
        if let Some(path) = writer.take_compression() {
            compress(&path).expect("compress");
        }
    }
}

fn number(line: &[u8]) -> u64 {
    let text = std::str::from_utf8(line).expect("text").trim_end();
    text.strip_prefix("line ").expect("own line").parse().expect("number")
}

fn read(config: &LogConfig, query: Query) -> Vec<u64> {
    let mut reader = Reader::open(config, query).expect("open");
    let mut out = Vec::new();
    while let Some(entry) = reader.next().expect("read") {
        out.push(number(entry.line));
    }
    out
}

#[test]
fn tail_goes_across_rotated_and_compressed_files() {
    for driver in ["json-file", "local"] {
        for compressed in [false, true] {
            let directory = tempfile::tempdir().expect("directory");
            let config = config(directory.path(), driver, 5000, 100, compressed);
            write(&mut Writer::open(&config).expect("open"), 0..1000);
            let case = format!("{driver}, compressed {compressed}");
            let all = read(&config, Query::default());
            assert_eq!(all, (0..1000).collect::<Vec<_>>(), "{case}");
            for tail in [0, 1, 2, 10, 137, 999, 1000, 5000] {
                let got = read(&config, Query { tail: Some(tail), ..Query::default() });
                let want: Vec<u64> = (1000 - tail.min(1000)..1000).collect();
                assert_eq!(got, want, "{case}, tail {tail}");
            }
            let query = Query {
                since_ns: Some(500_000_000_000),
                until_ns: Some(502_000_000_000),
                ..Query::default()
            };
            assert_eq!(read(&config, query), [500, 501, 502], "{case}");
        }
    }
}

#[test]
fn old_files_go() {
    for (files, compressed) in [(1, false), (3, false), (3, true)] {
        let directory = tempfile::tempdir().expect("directory");
        let config = config(directory.path(), "json-file", 2000, files, compressed);
        write(&mut Writer::open(&config).expect("open"), 0..500);
        let count = fs::read_dir(directory.path()).expect("list").count();
        assert_eq!(count, files as usize, "{files} files, compressed {compressed}");
        let got = read(&config, Query::default());
        let first = *got.first().expect("lines");
        assert_eq!(got, (first..500).collect::<Vec<_>>());
    }
}

#[test]
fn a_line_that_a_crash_cut_short_is_passed_over() {
    for (driver, cut) in [("json-file", &b"{\"log\":\"half"[..]), ("local", b"\x20\0\0\0\0half")] {
        let directory = tempfile::tempdir().expect("directory");
        let config = config(directory.path(), driver, 1 << 30, 2, false);
        write(&mut Writer::open(&config).expect("open"), 0..3);
        let path = &config.file().expect("file").path;
        let mut file = OpenOptions::new().append(true).open(path).expect("open");
        file.write_all(cut).expect("cut");
        assert_eq!(read(&config, Query::default()), [0, 1, 2], "{driver}");
        write(&mut Writer::open(&config).expect("open again"), 3..5);
        assert_eq!(read(&config, Query::default()), [0, 1, 2, 3, 4], "{driver}");
    }
}

fn follow_all(follower: &mut Follower, seen: &mut Vec<u64>) {
    while let Some(entry) = follower.next().expect("follow") {
        seen.push(number(entry.line));
    }
}

#[test]
fn following_goes_through_rotation() {
    for driver in ["json-file", "local"] {
        for (files, compressed, step) in
            [(1, false, 1), (5, false, 7), (5, true, 40), (9, true, 97)]
        {
            let directory = tempfile::tempdir().expect("directory");
            let config = config(directory.path(), driver, 1500, files, compressed);
            let mut follower = Follower::open(&config, Query::default()).expect("before the log");
            let mut writer = Writer::open(&config).expect("open");
            let mut seen = Vec::new();
            for start in (0..2000).step_by(step) {
                write(&mut writer, start..(start + step as u64).min(2000));
                follow_all(&mut follower, &mut seen);
            }
            let case = format!("{driver}, {files} files, compressed {compressed}, step {step}");
            assert_eq!(seen, (0..2000).collect::<Vec<_>>(), "{case}");
        }
    }
}

#[test]
fn following_from_another_thread_loses_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let config = config(directory.path(), "json-file", 100_000, 500, true);
    let mut writer = Writer::open(&config).expect("open");
    write(&mut writer, 0..10);
    let query = Query { tail: Some(5), until_ns: Some(29_999_000_000_000), ..Query::default() };
    let mut follower = Follower::open(&config, query).expect("follow");
    let thread = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while !follower.is_over() {
            follow_all(&mut follower, &mut seen);
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        seen
    });
    write(&mut writer, 10..30_010);
    assert_eq!(thread.join().expect("follower"), (5..30_000).collect::<Vec<_>>());
}

#[test]
fn streams_attributes_and_binary_output_come_back() {
    for driver in ["json-file", "local"] {
        let directory = tempfile::tempdir().expect("directory");
        let attrs = BTreeMap::from([("tag".to_owned(), "a\"b".to_owned())]);
        let config = config(directory.path(), driver, 1 << 30, 1, false).with_attrs(attrs.clone());
        let mut writer = Writer::open(&config).expect("open");
        writer.write(Stream::Stdout, b"held", 1).expect("write");
        writer.write(Stream::Stderr, "ä\x1b[0m\t\n".as_bytes(), 2).expect("write");
        writer.end(Stream::Stdout, 3).expect("end");
        let mut reader = Reader::open(&config, Query::default()).expect("open");
        let entry = reader.next().expect("read").expect("first");
        assert_eq!((entry.stream, entry.line), (Stream::Stderr, "ä\x1b[0m\t\n".as_bytes()));
        assert_eq!(entry.attrs(), attrs, "{driver}");
        let entry = reader.next().expect("read").expect("second");
        assert_eq!((entry.stream, entry.line, entry.time_ns), (Stream::Stdout, &b"held"[..], 3));
        assert_eq!(reader.next().expect("read"), None);
        let query = Query { stdout: false, ..Query::default() };
        let mut reader = Reader::open(&config, query).expect("open");
        assert_eq!(reader.next().expect("read").expect("one").stream, Stream::Stderr);
        assert_eq!(reader.next().expect("read"), None);
    }
}
