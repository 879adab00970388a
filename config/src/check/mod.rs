//! What only several items together show. Each check looks at the whole model and reports all that it finds.

mod arrays;
mod drives;
mod exports;
mod geometry;

use crate::Config;
use crate::diagnostic::Findings;

/// Runs all checks.
pub(crate) fn all(config: &Config, findings: &mut Findings) {
    drives::check(config, findings);
    arrays::check(config, findings);
    geometry::check(config, findings);
    exports::check(config, findings);
}
