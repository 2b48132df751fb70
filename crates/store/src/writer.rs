//! The two threads behind the store: the writer, and the syncer that makes commits durable.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{
    Durability, StoreError,
    batch::{Batch, Change},
};

/// Format of the database file itself, in `PRAGMA user_version`.
const FORMAT: u32 = 1;
/// Most batches in one transaction, so that the first does not wait for ever.
const GROUP_MAX: usize = 256;
/// Bytes of changes after which the log is copied into the database.
const CHECKPOINT_BYTES: usize = 2 << 20;
/// How long a lock may still be held: a daemon that was killed while it started a program leaves a
/// copy of its descriptors with that, until the program is there.
const LOCK_LIMIT: Duration = Duration::from_secs(1);
/// Pause between two tries to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Request {
    changes: Vec<Change>,
    durability: Durability,
    reply: Reply,
}

impl Request {
    fn size(&self) -> usize {
        self.changes
            .iter()
            .map(|change| change.value.as_ref().map_or(64, |(_, value)| value.len() + 64))
            .sum()
    }
}

/// What the writer asks of the syncer.
enum Order {
    /// Bring the log to disk, then answer.
    Sync(Vec<Reply>),
    /// Copy the log into the database, so that it can start over.
    Checkpoint,
}

/// Handle to the writer thread; dropping it ends both threads once all is written.
#[derive(Debug)]
pub(crate) struct Writer {
    inbox: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Held for its lock alone.
    _lock: File,
}

impl Writer {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(open_error)?;
        }
        let lock = lock(path)?;
        let connection = connect(path)?;
        initialise(&connection, path)?;
        // The log exists now: the line above has written to it. It is never unlinked while a
        // connection is open, so this descriptor stays good. SQLite takes no locks on it, which
        // closing a second descriptor would drop.
        let log = OpenOptions::new().read(true).open(log_path(path)).map_err(open_error)?;
        sync_parent(path).and_then(|()| log.sync_all()).map_err(open_error)?;

        let checkpointer = connect(path)?;
        let (sync_inbox, sync_requests) = channel();
        let syncer = spawn("store-sync", move || run_syncer(&log, &checkpointer, &sync_requests))
            .map_err(open_error)?;
        let (inbox, requests) = channel();
        let thread = spawn("store-write", move || {
            run_writer(connection, &requests, &sync_inbox);
            drop(sync_inbox);
            drop(syncer.join());
        })
        .map_err(open_error)?;
        Ok(Self { inbox: Some(inbox), thread: Some(thread), _lock: lock })
    }

    pub(crate) fn send(
        &self,
        batch: Batch,
        durability: Durability,
        reply: Reply,
    ) -> Result<(), StoreError> {
        if let Some(broken) = batch.broken {
            return Err(broken);
        }
        let request = Request { changes: batch.changes, durability, reply };
        self.inbox.as_ref().ok_or(StoreError::Closed)?.send(request).map_err(|_| StoreError::Closed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.inbox.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn(work)
}

fn log_path(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Locks the store, for as long as the file is open.
fn lock(path: &Path) -> Result<File, StoreError> {
    let open_error = |source| StoreError::Open { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))
        .map_err(open_error)?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(Errno::WOULDBLOCK) => return Err(StoreError::InUse(path.to_owned())),
            Err(errno) => return Err(open_error(errno.into())),
        }
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Opens a connection with the settings that both the reader and the writer use.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // NORMAL: SQLite syncs around checkpoints only; durable commits are synced by the syncer.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -512)?;
        // The syncer does it instead, since it waits for the disk.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.set_prepared_statement_cache_capacity(8);
        Ok(connection)
    };
    open()
        .map_err(|source| StoreError::Database { path: path.to_owned(), source: Arc::new(source) })
}

fn initialise(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let database =
        |source| StoreError::Database { path: path.to_owned(), source: Arc::new(source) };
    let found: u32 =
        connection.query_row("PRAGMA user_version", (), |row| row.get(0)).map_err(database)?;
    if found > FORMAT {
        return Err(StoreError::Format { found, known: FORMAT });
    }
    // Written on every open, so that the log exists when this returns.
    connection
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS record (
                 kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,
                 PRIMARY KEY (kind, key));
             CREATE TABLE IF NOT EXISTS opened (at TEXT NOT NULL);
             DELETE FROM opened;
             INSERT INTO opened VALUES (datetime('now'));
             PRAGMA user_version = {FORMAT};
             COMMIT;"
        ))
        .map_err(database)
}

fn run_writer(mut connection: Connection, requests: &Receiver<Request>, syncer: &Sender<Order>) {
    let mut unsaved = 0;
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(next) = requests.try_recv()
        {
            group.push(next);
        }
        match write_group(&mut connection, &group) {
            Ok(()) => {
                unsaved += group.iter().map(Request::size).sum::<usize>();
                answer(group, syncer);
                if unsaved > CHECKPOINT_BYTES {
                    unsaved = 0;
                    drop(syncer.send(Order::Checkpoint));
                }
            }
            Err(source) => {
                let source = Arc::new(source);
                for request in group {
                    (request.reply)(Err(StoreError::Write(Arc::clone(&source))));
                }
            }
        }
    }
}

/// Answers the relaxed requests of a written group and passes the durable ones on.
fn answer(group: Vec<Request>, syncer: &Sender<Order>) {
    let (durable, relaxed): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|request| request.durability == Durability::Durable);
    if !durable.is_empty() {
        // The syncer outlives the writer; if it died of a panic, dropping the replies tells so.
        let replies = durable.into_iter().map(|request| request.reply).collect();
        drop(syncer.send(Order::Sync(replies)));
    }
    for request in relaxed {
        (request.reply)(Ok(()));
    }
}

fn write_group(connection: &mut Connection, group: &[Request]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO record (kind, key, version, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, value = excluded.value",
        )?;
        let mut delete =
            transaction.prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?;
        for change in group.iter().flat_map(|request| &request.changes) {
            match &change.value {
                Some((version, value)) => {
                    put.execute((change.table, &change.key, version, value))?
                }
                None => delete.execute((change.table, &change.key))?,
            };
        }
    }
    transaction.commit().inspect_err(|error| {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            tracing::error!("no space left for the store");
        }
    })
}

fn run_syncer(log: &File, database: &Connection, orders: &Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let (mut replies, mut checkpoint) = (Vec::new(), false);
        for order in [first].into_iter().chain(orders.try_iter()) {
            match order {
                Order::Sync(mut more) => replies.append(&mut more),
                Order::Checkpoint => checkpoint = true,
            }
        }
        if !replies.is_empty() {
            sync(log, replies);
        }
        // PASSIVE: neither readers nor the writer wait for it.
        if checkpoint
            && let Err(error) = database.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
        {
            tracing::warn!(%error, "could not copy the store's log into its database");
        }
    }
}

fn sync(log: &File, replies: Vec<Reply>) {
    // After a failed fsync the kernel may call the pages clean, so a later success would prove
    // nothing for these: they are told the failure, and stay written but unproven.
    let result = log.sync_data().map_err(Arc::new);
    for reply in replies {
        reply(result.clone().map_err(StoreError::Sync));
    }
}
