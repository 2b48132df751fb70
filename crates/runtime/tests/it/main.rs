//! Containers for real: the same bundles through this runtime and, where they are installed, runc
//! and crun. Needs root; everything is made below a temporary directory and removed again.

mod escapes;
mod house;
mod lifecycle;
mod same;

use house::{House, Runtime};

/// What a test run leaves behind, if anything: the last test by name, since the runner sorts them,
/// but each test checks for itself too.
#[test]
fn zz_nothing_is_left() {
    house::need_root();
    let house = House::new("leak");
    let before = house::leftovers();
    for _ in 0..3 {
        let answer = house.run(Runtime::Gantry, |_| {});
        assert_eq!(answer.code, 0, "{}", answer.stderr);
    }
    let failed = house.run(Runtime::Gantry, |spec| spec["process"]["args"] = serde_json::json!(["/nope"]));
    assert_eq!(failed.code, 1);
    assert_eq!(house::leftovers(), before);
    assert_eq!(house.groups(), Vec::<String>::new());
    assert_eq!(house.states(), Vec::<String>::new());
}
