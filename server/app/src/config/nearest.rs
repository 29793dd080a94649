//! Which known name somebody may have meant.

/// The candidate that is the fewest edits away from `name`, if that is near enough to be a slip.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.len().max(3) / 2;
    let distances = candidates.map(|candidate| (distance(name, candidate), candidate));
    distances.min().filter(|(edits, _)| *edits <= far).map(|(_, candidate)| candidate)
}

/// The number of bytes to insert, remove or replace to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let known = ["http.listen", "storage.data-dir", "memory.limit"];
        assert_eq!(nearest("http.lissten", known.into_iter()), Some("http.listen"));
        assert_eq!(nearest("storage.data_dir", known.into_iter()), Some("storage.data-dir"));
        assert_eq!(nearest("x", known.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
