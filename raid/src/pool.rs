//! The Pool: what the arrays of one process share. Who uses which drive, and what stands on what.

use std::collections::BTreeMap;

use thiserror::Error;

/// Names of arrays and their drives. An array can itself be a drive of another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pool {
    arrays: BTreeMap<String, Vec<String>>,
}

/// Why an array may not come or go.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PoolRefusal {
    /// The name is taken.
    #[error("there is an array '{0}' already; choose another name, or delete that one first")]
    NameTaken(String),
    /// The drive is listed twice.
    #[error("drive '{0}' is listed twice; each member needs a drive of its own")]
    Twice(String),
    /// The drive belongs to another array.
    #[error("drive '{drive}' belongs to array '{array}'; use another drive, or take it out there first")]
    InUse {
        /// The drive.
        drive: String,
        /// Whose it is.
        array: String,
    },
    /// The array would be its own member.
    #[error("array '{0}' can't be its own member")]
    Itself(String),
    /// Another array stands on this one.
    #[error("array '{below}' is a member of array '{above}'; delete or stop '{above}' first")]
    NeededBy {
        /// The array that was to go.
        below: String,
        /// The array that uses it.
        above: String,
    },
}

impl Pool {
    /// A new array takes its drives; on refusal nothing has changed.
    pub fn admit(&mut self, array: &str, drives: &[String]) -> Result<(), PoolRefusal> {
        if self.arrays.contains_key(array) {
            return Err(PoolRefusal::NameTaken(array.to_owned()));
        }
        for (n, drive) in drives.iter().enumerate() {
            if drive == array {
                return Err(PoolRefusal::Itself(array.to_owned()));
            }
            if drives[..n].contains(drive) {
                return Err(PoolRefusal::Twice(drive.clone()));
            }
            if let Some(user) = self.user_of(drive) {
                return Err(PoolRefusal::InUse { drive: drive.clone(), array: user.to_owned() });
            }
        }
        self.arrays.insert(array.to_owned(), drives.to_vec());
        Ok(())
    }

    /// Whether nothing stands on `array`, so that it may go.
    pub fn may_leave(&self, array: &str) -> Result<(), PoolRefusal> {
        match self.user_of(array) {
            Some(above) => Err(PoolRefusal::NeededBy { below: array.to_owned(), above: above.to_owned() }),
            None => Ok(()),
        }
    }

    /// The array is gone; its drives are free.
    pub fn leave(&mut self, array: &str) {
        self.arrays.remove(array);
    }

    /// `array` has let go of `drive`.
    pub fn release(&mut self, array: &str, drive: &str) {
        if let Some(drives) = self.arrays.get_mut(array) {
            drives.retain(|other| other != drive);
        }
    }

    /// The array that uses `drive`.
    pub fn user_of(&self, drive: &str) -> Option<&str> {
        let user = self.arrays.iter().find(|(_, drives)| drives.iter().any(|other| other == drive));
        user.map(|(array, _)| array.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_drive_has_one_user_and_a_refusal_changes_nothing() {
        let mut pool = Pool::default();
        pool.admit("low", &names(&["a", "b"])).unwrap();
        let before = pool.clone();
        assert!(matches!(pool.admit("low", &names(&["c", "d"])), Err(PoolRefusal::NameTaken(_))));
        assert!(matches!(pool.admit("x", &names(&["c", "c"])), Err(PoolRefusal::Twice(_))));
        assert!(matches!(pool.admit("x", &names(&["c", "b"])), Err(PoolRefusal::InUse { .. })));
        assert!(matches!(pool.admit("x", &names(&["c", "x"])), Err(PoolRefusal::Itself(_))));
        assert_eq!(pool, before);
    }

    #[test]
    fn what_another_array_stands_on_stays() {
        let mut pool = Pool::default();
        pool.admit("low", &names(&["a", "b"])).unwrap();
        pool.admit("high", &names(&["low", "c"])).unwrap();
        assert!(pool.may_leave("low").is_err());
        pool.release("high", "low");
        assert!(pool.may_leave("low").is_ok());
        pool.leave("low");
        assert_eq!(pool.user_of("a"), None);
    }
}
