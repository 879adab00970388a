//! "Did you mean": the known name closest to what was written.

/// Longer texts are no slips of a known name.
const TEXT_CHARS_MAX: usize = 64;
/// Above so many known names none is looked for: an error message is not worth the time.
const KNOWN_MAX: usize = 1000;

/// The one name among `known` that `text` most probably was to be: at most a third of its characters differ,
/// and no other name is as close.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let text: Vec<char> = text.to_lowercase().chars().take(TEXT_CHARS_MAX + 1).collect();
    if text.len() > TEXT_CHARS_MAX {
        return None;
    }
    let mut ranked: Vec<_> = known
        .into_iter()
        .take(KNOWN_MAX)
        .map(|name| (distance(&text, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .collect();
    ranked.sort_unstable();
    let (distance, best) = *ranked.first()?;
    let is_close = distance <= best.chars().count().div_ceil(3);
    let is_only = ranked.get(1).is_none_or(|(other, _)| *other > distance);
    (is_close && is_only).then(|| best.to_owned())
}

/// Edit distance in which swapping two neighbours counts as one step (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["name", "level", "members", "spares"];

    #[test]
    fn slips_are_recognised() {
        assert_eq!(nearest("memebrs", KEYS).as_deref(), Some("members"));
        assert_eq!(nearest("member", KEYS).as_deref(), Some("members"));
        assert_eq!(nearest("Level", KEYS).as_deref(), Some("level"));
        assert_eq!(nearest("nmae", KEYS).as_deref(), Some("name"));
    }

    #[test]
    fn strangers_are_not() {
        assert_eq!(nearest("colour", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest(&"members".repeat(20), KEYS), None);
        assert_eq!(nearest("members", []), None);
    }

    #[test]
    fn nothing_is_guessed_between_two() {
        assert_eq!(nearest("raid7", ["raid0", "raid1"]), None);
        assert_eq!(nearest("d9", ["d0", "d1"]), None);
    }
}
