//! Reading a log: the lines that are there, and with [`Follower`] those to come.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use crate::config::{LogConfig, LogFile};
use crate::entry::{Decoded, Entry, Query};
use crate::files;
use crate::input::{Input, Layout};
use crate::tail;
use crate::watch::Watch;

/// Reads the lines that are there now, oldest first.
#[derive(Debug)]
pub struct Reader {
    inputs: VecDeque<Input>,
    filter: Filter,
    line: Decoded,
}

/// Reads the lines that are there and those to come, through rotation.
#[derive(Debug)]
pub struct Follower {
    /// The last one is, or was, the file that is written.
    inputs: VecDeque<Input>,
    filter: Filter,
    line: Decoded,
    watch: Watch,
    path: PathBuf,
    layout: Layout,
}

/// What of the lines is wanted.
#[derive(Debug)]
struct Filter {
    query: Query,
    over: bool,
}

impl Filter {
    fn takes(&mut self, line: &Decoded) -> bool {
        let query = &self.query;
        if query.until_ns.is_some_and(|until| line.time_ns > until) {
            self.over = true;
            return false;
        }
        let wanted = match line.stream {
            crate::Stream::Stdout => query.stdout,
            crate::Stream::Stderr => query.stderr,
        };
        wanted && query.since_ns.is_none_or(|since| line.time_ns >= since)
    }
}

impl Reader {
    /// Opens a container's log.
    ///
    /// # Errors
    /// `Unsupported` for a log that keeps nothing; else those of opening the files. A log that
    /// does not exist yet is empty.
    pub fn open(config: &LogConfig, query: Query) -> io::Result<Reader> {
        let (file, layout) = file_of(config)?;
        let opened = files::open_all(&file.path, file.max_files)?;
        Ok(Reader {
            inputs: tail::inputs(opened, layout, query.tail)?.into(),
            filter: Filter { query, over: false },
            line: Decoded::default(),
        })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Those of reading the files. Damaged lines are passed over.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        while let Some(input) = self.inputs.front_mut() {
            if !input.next(true, &mut self.line)? {
                self.inputs.pop_front();
            } else if self.filter.takes(&self.line) {
                return Ok(Some(self.line.entry()));
            } else if self.filter.over {
                self.inputs.clear();
            }
        }
        Ok(None)
    }
}

impl Follower {
    /// Opens a container's log to follow it.
    ///
    /// # Errors
    /// As [`Reader::open`], and those of `inotify(7)`.
    pub fn open(config: &LogConfig, query: Query) -> io::Result<Follower> {
        let (file, layout) = file_of(config)?;
        let mut watch = Watch::new(&file.path)?;
        let opened = loop {
            let opened = files::open_all(&file.path, file.max_files)?;
            // A rotation while the files were opened could hide one of them.
            if !watch.poll()? {
                break opened;
            }
            watch.forget_rotations();
        };
        Ok(Follower {
            inputs: tail::inputs(opened, layout, query.tail)?.into(),
            filter: Filter { query, over: false },
            line: Decoded::default(),
            watch,
            path: file.path.clone(),
            layout,
        })
    }

    /// The next line; `None` if there is none yet. Never blocks on the writer: wait for the
    /// descriptor ([`AsFd`]) to be readable, then ask again until `None`.
    ///
    /// # Errors
    /// Those of reading the files.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        while !self.filter.over {
            if self.read_line()? {
                if self.filter.takes(&self.line) {
                    return Ok(Some(self.line.entry()));
                }
            } else if !self.step()? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Whether a line after [`Query::until_ns`] was seen, so that none can follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.filter.over
    }

    fn read_line(&mut self) -> io::Result<bool> {
        let closed = self.inputs.len() > 1 || self.watch.rotations() > 0;
        match self.inputs.front_mut() {
            Some(input) => input.next(closed, &mut self.line),
            None => Ok(false),
        }
    }

    /// The first input gave all it has: goes on to the next one, or tells that there is none yet.
    fn step(&mut self) -> io::Result<bool> {
        if self.inputs.len() > 1 {
            self.inputs.pop_front();
            return Ok(true);
        }
        let known = self.watch.rotations();
        self.watch.poll()?;
        if self.watch.rotations() != known {
            // What was written just before the rotation is read first.
            return Ok(true);
        }
        if known == 0 || self.watch.is_rotating() {
            return Ok(false);
        }
        let name = files::generation(&self.path, known - 1);
        let opened = match files::open_existing(&name)? {
            Some(file) => Some((file, false)),
            None => {
                files::open_existing(&files::with_suffix(&name, ".gz"))?.map(|file| (file, true))
            }
        };
        if self.watch.poll()? {
            return Ok(true);
        }
        self.watch.rotation_done();
        self.inputs.pop_front();
        if let Some((file, compressed)) = opened {
            self.inputs.push_back(Input::new(file, compressed, self.layout));
        }
        Ok(true)
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

fn file_of(config: &LogConfig) -> io::Result<(&LogFile, Layout)> {
    match config {
        LogConfig::None => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "configured logging driver does not support reading",
        )),
        LogConfig::JsonFile(file) => Ok((file, Layout::Json)),
        LogConfig::Local(file) => Ok((file, Layout::Local)),
    }
}
