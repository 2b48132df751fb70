//! The last lines of a log, found from its end.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::input::{Input, Layout};

const BLOCK_BYTES: u64 = 64 * 1024;

/// Opens of `files` (the oldest first) what holds the last `count` records, each input placed at
/// its first wanted record.
pub(crate) fn inputs(
    files: Vec<(File, bool)>,
    layout: Layout,
    count: Option<u64>,
) -> io::Result<Vec<Input>> {
    let Some(mut wanted) = count else {
        let open = |(file, compressed)| Input::new(file, compressed, layout);
        return Ok(files.into_iter().map(open).collect());
    };
    let mut inputs = Vec::new();
    let newest = files.len().saturating_sub(1);
    for (number, (file, compressed)) in files.into_iter().enumerate().rev() {
        // The newest file is opened even for no lines: a follower goes on from its end.
        if wanted == 0 && number != newest {
            break;
        }
        let found = if layout == Layout::Json && !compressed {
            seek_to_last(&file, wanted)?
        } else {
            count_records(&file, compressed, layout)?
        };
        let mut input = Input::new(file, compressed, layout);
        if found > wanted {
            input.skip(found - wanted)?;
        }
        wanted = wanted.saturating_sub(found);
        inputs.push(input);
    }
    inputs.reverse();
    Ok(inputs)
}

/// Counts by reading through, and goes back to the start.
fn count_records(file: &File, compressed: bool, layout: Layout) -> io::Result<u64> {
    let mut reader = file.try_clone()?;
    let found = Input::new(file.try_clone()?, compressed, layout).skip(u64::MAX)?;
    reader.seek(SeekFrom::Start(0))?;
    Ok(found)
}

/// Places the file at the start of its last `wanted` lines, looking at blocks from its end; gives
/// how many there are, `wanted` at most.
fn seek_to_last(mut file: &File, wanted: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(0)];
    // The newline at the very end closes the last line and starts none.
    let mut end = size.saturating_sub(1);
    let mut found = 0;
    if wanted == 0 || size == 0 {
        file.seek(SeekFrom::Start(size))?;
        return Ok(0);
    }
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let length = usize::try_from(end - start).unwrap_or(0);
        file.read_exact_at(&mut block[..length], start)?;
        for at in memchr::memrchr_iter(b'\n', &block[..length]) {
            found += 1;
            if found == wanted {
                file.seek(SeekFrom::Start(start + at as u64 + 1))?;
                return Ok(found);
            }
        }
        end = start;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found + 1)
}
