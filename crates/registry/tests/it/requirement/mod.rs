//! One test for each requirement of the distribution specification and of Docker's extensions.

mod blobs;
mod errors;
mod listed;
mod lists;
mod manifests;
mod referrers;
mod uploads;

/// Makes three tests of each function: against this registry, over a directory and over a bucket,
/// and against Debian's docker-registry 2.8; two, where a reason says what that registry does not do.
macro_rules! requirements {
    ($($name:ident $(, not the reference: $reason:literal)?;)+) => {
        mod ours {
            $(#[test] fn $name() { crate::process::with_ours(super::$name); })+
        }
        mod bucket {
            $(#[test] fn $name() { crate::process::with_bucket(super::$name); })+
        }
        mod reference {
            $($crate::requirement::requirements!(@one $name $($reason)?);)+
        }
    };
    (@one $name:ident) => {
        #[test] fn $name() { crate::process::with_reference(super::$name); }
    };
    (@one $name:ident $reason:literal) => {};
}

pub(crate) use requirements;
