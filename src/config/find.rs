//! The key of a dotted path, and the one that was meant.

use super::keys::{KEYS, Key};

/// The key of a dotted path; of a list's sections they are all the same.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let path = &without_index(path);
    KEYS.iter().find(|key| match key.path.strip_suffix('*') {
        Some(parent) => path
            .strip_prefix(parent)
            .is_some_and(|rest| !rest.is_empty()),
        None => key.path == path,
    })
}

/// `transform[1].columns` is `transform[].columns`.
fn without_index(path: &str) -> String {
    let is_index = |index: &str| index.bytes().all(|byte| byte.is_ascii_digit());
    match path.split_once('[').zip(path.split_once(']')) {
        Some(((name, rest), (_, key))) if rest.split(']').next().is_some_and(is_index) => {
            format!("{name}[]{key}")
        }
        _ => path.to_owned(),
    }
}

/// The known key most like an unknown one, if any is near.
pub(super) fn nearest(path: &str) -> Option<&'static str> {
    const NEAR: usize = 3;
    let path = &without_index(path);
    let distance = |key: &Key| edit_distance(path, key.path);
    let near = KEYS
        .iter()
        .filter(|key| distance(key) <= NEAR)
        .min_by_key(|key| distance(key));
    near.map(|key| key.path)
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        let mut next = vec![previous];
        for (b, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *above;
            previous = replaced.min(previous + 1).min(above + 1);
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_key_is_suggested() {
        assert_eq!(nearest("kafka.broker"), Some("kafka.brokers"));
        assert_eq!(nearest("source.tabels"), Some("source.tables"));
        assert_eq!(nearest("something.else"), None);
    }

    #[test]
    fn sections_of_a_list_have_the_same_keys() {
        for path in ["transform[0].columns", "transform[12].columns"] {
            assert_eq!(find(path).map(|key| key.path), Some("transform[].columns"));
        }
        assert_eq!(find("transform.columns"), None);
        assert_eq!(find("transform[x].columns"), None);
    }

    #[test]
    fn a_wildcard_covers_its_names() {
        assert_eq!(
            find("kafka.client.sasl.username").map(|key| key.path),
            Some("kafka.client.*")
        );
        assert_eq!(find("kafka.client."), None);
        assert_eq!(find("kafka.clients"), None);
    }
}
