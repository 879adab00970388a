//! Waiting for what has no event to wait on: asking again, up to a deadline.

use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that has other work too; a wait that is longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

const BETWEEN: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], with the last reason.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if Instant::now() >= deadline => panic!("waited in vain for {what}: {reason}"),
            Err(_) => std::thread::sleep(BETWEEN),
        }
    }
}
