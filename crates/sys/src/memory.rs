//! Giving memory back.

use std::io;

/// Gives memory that was freed back to the kernel: `malloc_trim(3)`, glibc only.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number, locks the allocator itself, and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads share one heap: `mallopt(3)`, glibc only. To be called before there are any.
///
/// glibc gives threads heaps of their own, up to eight a processor, and what is free in one is of
/// no use to the others. That suits programs that allocate all the time.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes two numbers and changes settings of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Tells the kernel that constant data of this program will not be needed for long: `madvise(2)`.
///
/// The pages are read from the program's file again if they are needed after all.
pub fn let_go_of_constants(data: &'static [u8]) {
    let page = rustix::param::page_size();
    let begin = data.as_ptr().addr().next_multiple_of(page);
    let end = (data.as_ptr().addr() + data.len()) / page * page;
    if begin < end {
        let offset = begin - data.as_ptr().addr();
        // SAFETY: the range lies within `data`, which is constant data of the program: such pages
        // are mapped from its file and never written, so what is read later is the same.
        unsafe {
            let from = data.as_ptr().add(offset).cast_mut().cast();
            libc::madvise(from, end - begin, libc::MADV_DONTNEED);
        }
    }
}

/// The same of this program's code: `madvise(2)` on what of its file is mapped to be executed.
///
/// # Errors
/// When `/proc/self/maps` cannot be read.
pub fn let_go_of_code() -> io::Result<()> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let own = maps.lines().filter(|line| line.ends_with(&*program.to_string_lossy()));
    for (begin, end) in own.filter_map(code) {
        // SAFETY: a private mapping of a file that may be executed and not written: its pages are as
        // in the file, and what is needed of them is mapped again when it is.
        unsafe {
            let from = std::ptr::with_exposed_provenance_mut(begin);
            libc::madvise(from, end - begin, libc::MADV_DONTNEED);
        }
    }
    Ok(())
}

/// The range of a line of `/proc/<pid>/maps`, if it is of code that nobody has changed.
fn code(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (begin, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    rest.starts_with("r-xp ").then_some((address(begin)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = resident();
        let_go_of_code().unwrap();
        let after = resident();
        assert!(after < before, "{after} of {before} KiB");
        assert_eq!(code("10-2f r-xp 0 fe:00 1 /x"), Some((0x10, 0x2f)));
        for line in ["10-2f rw-p 0 fe:00 1 /x", "10-2f r--p 0 fe:00 1 /x", "10 r-xp", ""] {
            assert_eq!(code(line), None, "{line}");
        }
    }
}
