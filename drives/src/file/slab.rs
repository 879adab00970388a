//! What is under way, each under a key that is never used twice.

/// Values under keys. A key carries the generation of its place, so that a stale one finds nothing.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// The index in the lower half, the generation in the upper.
fn split(key: u64) -> (usize, u32) {
    ((key as u32) as usize, (key >> 32) as u32)
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("fewer than 4 billion I/Os")
        });
        let place = &mut self.places[index as usize];
        place.value = Some(value);
        u64::from(place.generation) << 32 | u64::from(index)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (index, generation) = split(key);
        let place = self.places.get_mut(index)?;
        if place.generation == generation { place.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        self.get_mut(key)?;
        let (index, _) = split(key);
        let place = &mut self.places[index];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index as u32);
        place.value.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Looks at all values, in no order.
    pub(crate) fn find(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<u64> {
        self.places.iter().enumerate().find_map(|(index, place)| {
            let found = place.value.as_ref().is_some_and(&mut wanted);
            found.then_some(u64::from(place.generation) << 32 | index as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_values_until_removed() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!((slab.get_mut(a).copied(), slab.get_mut(b).copied()), (Some("a"), Some("b")));
        assert_eq!(slab.find(|&value| value == "b"), Some(b));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!((slab.remove(a), slab.len()), (None, 1));

        let c = slab.insert("c");
        assert_ne!(c, a, "the place is used again, the key is not");
        assert_eq!((slab.get_mut(a).copied(), slab.get_mut(c).copied()), (None, Some("c")));
        assert_eq!(slab.find(|&value| value == "a"), None);
        assert_eq!(slab.get_mut(77), None);
    }
}
