//! Variables that are not defined.

use super::{Linter, Rule};
use crate::ast::Written;
use crate::error::did_you_mean;
use crate::expand::Names;
use crate::suggest::{Case, closest};

/// Arguments that are for the builder, and never variables.
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Reports the variables that an instruction named and that are not defined. `declared` are the
/// stage's arguments, which need no value; `environment` the names of all variables that are set.
///
/// Those of `EXPOSE` are not reported, nor are they by BuildKit.
pub fn check_variables<'n>(
    written: &Written,
    names: &Names,
    declared: &[String],
    environment: impl IntoIterator<Item = &'n str> + Clone,
    linter: &mut Linter,
) {
    if written.keyword.eq_ignore_ascii_case("EXPOSE") {
        return;
    }
    for name in &names.undefined {
        if declared.contains(name) || NO_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let hint = closest(name, environment.clone(), Case::Counts).map(|hint| format!("${hint}"));
        let hint = did_you_mean(hint.as_deref());
        let message = format!("Usage of undefined variable '${name}'{hint}");
        linter.report(Rule::UndefinedVar, written, message);
    }
}
