//! What a reader of a table's topic who knows the earlier version would stumble over.
//!
//! A column that is new is nothing to stumble over, nor is one that takes more values than before in
//! the same form.

use super::{SchemaVersion, VersionColumn};

/// The first change that is not compatible, in words.
pub(super) fn incompatibility(from: &SchemaVersion, to: &SchemaVersion) -> Option<String> {
    if from.key != to.key {
        return Some(format!(
            "its record key was ({}) and is ({})",
            from.key.join(", "),
            to.key.join(", ")
        ));
    }
    from.columns.iter().find_map(|column| {
        let now = to.columns.iter().find(|now| now.name == column.name);
        match now {
            None => Some(format!(
                "column {} ({}) was dropped or renamed",
                column.name, column.type_name
            )),
            Some(now) if !widens(column, now) => Some(format!(
                "column {} was {} and is {}",
                column.name, column.type_name, now.type_name
            )),
            Some(_) => None,
        }
    })
}

/// Whether every value of the one type is a value of the other, in the same form.
fn widens(from: &VersionColumn, to: &VersionColumn) -> bool {
    let (old, new) = (from.type_modifier, to.type_modifier);
    match (from.type_oid, to.type_oid) {
        (from, to) if from == to => widens_modifier(from, old, new),
        (21, 23 | 20) | (23, 20) | (700, 701) => true, // int2, int4, int8; float4, float8
        (1043, 25) => true,                            // varchar to text
        _ => false,
    }
}

fn widens_modifier(type_oid: u32, old: i32, new: i32) -> bool {
    const NUMERIC: u32 = 1700;
    const HEADER: i32 = 4;
    if old == new || new < 0 {
        return true;
    }
    if old < 0 {
        return false;
    }
    if type_oid != NUMERIC {
        return new >= old;
    }
    let parts = |modifier: i32| ((modifier - HEADER) >> 16, (modifier - HEADER) & 0xFFFF);
    let ((old_precision, old_scale), (precision, scale)) = (parts(old), parts(new));
    scale == old_scale && precision >= old_precision
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_oid: u32, type_modifier: i32) -> VersionColumn {
        VersionColumn {
            name: "c".to_owned(),
            type_name: type_oid.to_string(),
            type_oid,
            type_modifier,
            nullable: true,
            default: None,
        }
    }

    #[test]
    fn a_type_that_holds_all_of_the_other_s_values_is_compatible() {
        let numeric = |precision, scale| (1700, (precision << 16 | scale) + 4);
        for (from, to, expected) in [
            ((23, -1), (20, -1), true),
            ((20, -1), (23, -1), false),
            ((23, -1), (25, -1), false),
            ((700, -1), (701, -1), true),
            ((1043, 14), (1043, 24), true),
            ((1043, 24), (1043, 14), false),
            ((1043, 24), (25, -1), true),
            ((1043, -1), (1043, 14), false),
            (numeric(10, 2), numeric(12, 2), true),
            (numeric(10, 2), numeric(12, 3), false),
            (numeric(10, 2), (1700, -1), true),
            ((1700, -1), numeric(10, 2), false),
            ((1114, 3), (1114, 6), true),
        ] {
            let (from, to): ((u32, i32), (u32, i32)) = (from, to);
            assert_eq!(
                widens(&column(from.0, from.1), &column(to.0, to.1)),
                expected,
                "{from:?} {to:?}"
            );
        }
    }
}
