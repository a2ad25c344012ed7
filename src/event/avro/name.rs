//! Names by Avro's rules: letters, digits and underscores, no digit first.

use std::collections::HashSet;

/// One part of a name; what Avro does not allow becomes an underscore.
pub(super) fn part(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut adjusted: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    if adjusted.starts_with(|c: char| c.is_ascii_digit()) || adjusted.is_empty() {
        adjusted.insert(0, '_');
    }
    adjusted
}

/// A full name, part by part.
pub(super) fn full(name: &str) -> String {
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// A field's name, unlike those before it: a number is added where two columns become one name.
pub(super) fn field(name: &str, taken: &mut HashSet<String>) -> String {
    let adjusted = part(name);
    let mut unique = adjusted.clone();
    let mut number = 2;
    while !taken.insert(unique.clone()) {
        unique = format!("{adjusted}_{number}");
        number += 1;
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_only_what_avro_allows() {
        for (name, expected) in [
            ("retail.public.orders.Value", "retail.public.orders.Value"),
            ("shop-1.my table.Größe", "shop_1.my_table.Gr__e"),
            ("1st..x", "_1st._.x"),
        ] {
            assert_eq!(full(name), expected);
        }
    }

    #[test]
    fn two_columns_do_not_become_one_field() {
        let taken = &mut HashSet::new();
        let names = ["a b", "a-b", "a_b_2", "a.b"].map(|name| field(name, taken));
        assert_eq!(names, ["a_b", "a_b_2", "a_b_2_2", "a_b_3"]);
    }
}
