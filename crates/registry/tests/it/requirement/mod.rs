//! One test for each requirement of the distribution specification and of Docker's extensions.

mod blobs;
mod errors;
mod lists;
mod manifests;
mod referrers;
mod uploads;

/// Makes two tests of each function: against this registry and against Debian's docker-registry
/// 2.8, unless a reason says why that one cannot pass.
macro_rules! requirements {
    ($($name:ident $(, not the reference: $reason:literal)?;)+) => {
        mod ours {
            $(#[test] fn $name() { crate::process::with_ours(super::$name); })+
        }
        mod reference {
            $($crate::requirement::requirements!(@one $name $($reason)?);)+
        }
    };
    (@one $name:ident) => {
        #[test] fn $name() { crate::process::with_reference(super::$name); }
    };
    (@one $name:ident $reason:literal) => {
        #[test]
        #[ignore = $reason]
        fn $name() { crate::process::with_reference(super::$name); }
    };
}

pub(crate) use requirements;
