//! Tables that are altered while rows are stored, and looks at the catalog that come too late.

use super::*;

const INT: u32 = 23;
const TEXT: u32 = 25;

fn columns(names: &[(&str, u32)]) -> Vec<RelationColumn> {
    let column = |(name, type_oid): &(&str, u32)| RelationColumn {
        name: (*name).to_owned(),
        identity: false,
        type_oid: *type_oid,
        type_modifier: -1,
    };
    names.iter().map(column).collect()
}

/// A table as DDL leaves it; each statement is a transaction of its own.
#[derive(Clone)]
struct Catalog {
    layout: TableLayout,
    xid: u32,
}

impl Catalog {
    fn new(names: &[(&str, u32)]) -> Catalog {
        let mut catalog = Catalog {
            layout: TableLayout {
                attributes: Vec::new(),
                storage: Some(1),
                seen_at: Lsn(100),
                partitions: Vec::new(),
            },
            xid: 700,
        };
        for (name, type_oid) in names {
            catalog.layout.attributes.push(Attribute {
                number: i16::try_from(catalog.layout.attributes.len()).unwrap() + 1,
                name: (*name).to_owned(),
                type_oid: *type_oid,
                type_modifier: -1,
                altered_by: catalog.xid,
                dropped: false,
                generated: false,
                missing: MissingValue::None,
            });
        }
        catalog
    }

    fn add(mut self, name: &str, missing: MissingValue) -> Catalog {
        self.xid += 10;
        self.layout.attributes.push(Attribute {
            number: i16::try_from(self.layout.attributes.len()).unwrap() + 1,
            name: name.to_owned(),
            type_oid: INT,
            type_modifier: -1,
            altered_by: self.xid,
            dropped: false,
            generated: false,
            missing,
        });
        self
    }

    fn alter(mut self, name: &str, change: impl Fn(&mut Attribute)) -> Catalog {
        self.xid += 10;
        let found = |found: &&mut Attribute| found.name == name && !found.dropped;
        let attribute = self.layout.attributes.iter_mut().find(found).unwrap();
        attribute.altered_by = self.xid;
        change(attribute);
        self
    }

    fn drop(self, name: &str) -> Catalog {
        self.alter(name, |column| {
            column.dropped = true;
            column.type_oid = 0;
        })
    }

    fn rewrite(mut self) -> Catalog {
        self.layout.storage = self.layout.storage.map(|storage| storage + 1);
        for attribute in &mut self.layout.attributes {
            attribute.missing = MissingValue::None;
        }
        self
    }

    /// The layout of rows that this transaction changes.
    fn seen_by(&self, xid: u32, names: &[(&str, u32)], before: Option<&Layout>) -> Layout {
        Layout::new(&columns(names), &self.layout, Seen::During(xid), before)
    }

    fn seen(&self, names: &[(&str, u32)], before: Option<&Layout>) -> Layout {
        self.seen_by(self.xid + 1, names, before)
    }
}

const AB: [(&str, u32); 2] = [("a", INT), ("b", TEXT)];
const ABC: [(&str, u32); 3] = [("a", INT), ("b", TEXT), ("c", INT)];

fn begun() -> (Catalog, Layout) {
    let catalog = Catalog::new(&AB);
    let layout = Layout::new(&columns(&AB), &catalog.layout, Seen::Locked, None);
    (catalog, layout)
}

fn seven() -> MissingValue {
    MissingValue::Text("7".to_owned())
}

#[test]
fn an_added_column_has_what_the_catalog_keeps_for_older_rows() {
    let (catalog, ab) = begun();
    let abc = catalog.clone().add("c", seven()).seen(&ABC, Some(&ab));
    let expected = [
        Origin::Column(0),
        Origin::Column(1),
        Origin::Text("7".to_owned()),
    ];
    assert_eq!(ab.origins(&abc), expected);
    let abc = catalog.add("c", MissingValue::None).seen(&ABC, Some(&ab));
    assert_eq!(ab.origins(&abc)[2], Origin::Null);
}

#[test]
fn an_added_column_keeps_it_through_later_alterations() {
    let (catalog, ab) = begun();
    let catalog = catalog.add("c", seven());
    let abc = catalog.seen(&ABC, Some(&ab));
    let later = catalog.alter("b", |_| {}).seen(&ABC, Some(&abc));
    assert_eq!(ab.origins(&later)[2], Origin::Text("7".to_owned()));
    assert_eq!(abc.origins(&later)[2], Origin::Column(2));
}

#[test]
fn a_volatile_default_rewrites_the_table() {
    let (catalog, ab) = begun();
    let abc = catalog
        .add("c", MissingValue::None)
        .rewrite()
        .seen(&ABC, Some(&ab));
    let expected = [Origin::Column(0), Origin::Column(1), Origin::Unknown];
    assert_eq!(ab.origins(&abc), expected);
}

#[test]
fn two_columns_are_added_before_the_first_is_heard_of() {
    let (catalog, ab) = begun();
    let catalog = catalog.add("c", seven()).add("d", MissingValue::None);
    let xid = catalog.xid - 5;
    let abc = catalog.seen_by(xid, &ABC, Some(&ab));
    assert_eq!(ab.origins(&abc)[2], Origin::Text("7".to_owned()));
    let abcd = [AB[0], AB[1], ABC[2], ("d", INT)];
    let abcd = catalog.seen(&abcd, Some(&abc));
    assert_eq!(
        ab.origins(&abcd)[2..],
        [Origin::Text("7".to_owned()), Origin::Null]
    );
    assert_eq!(abc.origins(&abcd)[2..], [Origin::Column(2), Origin::Null]);
}

#[test]
fn a_column_that_was_dropped_and_added_again_is_another_one() {
    let (catalog, ab) = begun();
    let catalog = catalog.drop("b").add("b", seven());
    let names = [("a", INT), ("b", INT)];
    let again = catalog.seen(&names, Some(&ab));
    assert_eq!(ab.origins(&again), [Origin::Column(0), Origin::Unknown]);

    // Added twice: which of them the message tells of cannot be said.
    let (catalog, ab) = begun();
    let catalog = catalog
        .add("c", seven())
        .drop("c")
        .add("c", MissingValue::None);
    let abc = catalog.seen(&ABC, Some(&ab));
    assert_eq!(ab.origins(&abc)[2], Origin::Unknown);
}

#[test]
fn a_renamed_column_is_the_same() {
    let (catalog, ab) = begun();
    let catalog = catalog.alter("b", |column| column.name = "z".to_owned());
    let az = catalog.seen(&[("a", INT), ("z", TEXT)], Some(&ab));
    assert_eq!(ab.origins(&az), [Origin::Column(0), Origin::Column(1)]);
}

#[test]
fn names_that_changed_places_before_they_were_heard_of_are_not_mixed() {
    let names = [("a", TEXT), ("b", TEXT)];
    let catalog = Catalog::new(&names);
    let before = Layout::new(&columns(&names), &catalog.layout, Seen::Locked, None);
    let swapped = catalog
        .alter("a", |column| column.name = "x".to_owned())
        .alter("b", |column| column.name = "a".to_owned())
        .alter("x", |column| column.name = "b".to_owned());
    // The message is older than that, or it tells of the first name alone.
    let seen = swapped.seen_by(701, &names, Some(&before));
    assert_eq!(
        before.origins(&seen),
        [Origin::Column(0), Origin::Column(1)]
    );
    let seen = swapped.seen_by(715, &[("x", TEXT), ("b", TEXT)], Some(&before));
    assert_eq!(before.origins(&seen), [Origin::Unknown, Origin::Column(1)]);
    // Or it is the last.
    let seen = swapped.seen(&[("b", TEXT), ("a", TEXT)], Some(&before));
    assert_eq!(
        before.origins(&seen),
        [Origin::Column(0), Origin::Column(1)]
    );
}

#[test]
fn a_retyped_column_is_unknown_and_one_that_was_rewritten_in_its_type_too() {
    let (catalog, ab) = begun();
    let retyped = catalog
        .clone()
        .alter("b", |column| column.type_oid = INT)
        .rewrite();
    let seen = retyped.seen(&[("a", INT), ("b", INT)], Some(&ab));
    assert_eq!(ab.origins(&seen), [Origin::Column(0), Origin::Unknown]);
    let rewritten = catalog.clone().alter("b", |_| {}).rewrite();
    let seen = rewritten.seen(&AB, Some(&ab));
    assert_eq!(ab.origins(&seen), [Origin::Column(0), Origin::Unknown]);
    // VACUUM FULL rewrites too, and alters no column.
    let seen = catalog.rewrite().seen(&AB, Some(&ab));
    assert_eq!(ab.origins(&seen), [Origin::Column(0), Origin::Column(1)]);
}

#[test]
fn what_is_altered_later_is_still_what_it_was() {
    let (catalog, ab) = begun();
    let rewritten = catalog.clone().alter("b", |_| {}).rewrite();
    // A change from before that, read after it; then the first one behind it.
    let early = rewritten.seen_by(701, &AB, Some(&ab));
    assert_eq!(ab.origins(&early), [Origin::Column(0), Origin::Column(1)]);
    let late = rewritten.seen(&AB, Some(&early));
    for before in [&ab, &early] {
        assert_eq!(before.origins(&late), [Origin::Column(0), Origin::Unknown]);
    }
    for altered in [
        catalog.clone().drop("b"),
        catalog
            .clone()
            .alter("b", |column| column.name = "z".to_owned()),
        catalog
            .clone()
            .alter("b", |column| column.type_oid = INT)
            .rewrite(),
        catalog.clone().drop("b").add("b", seven()).rewrite(),
    ] {
        let early = altered.seen_by(701, &AB, Some(&ab));
        assert_eq!(ab.origins(&early), [Origin::Column(0), Origin::Column(1)]);
    }
}

#[test]
fn a_new_tables_column_is_not_sure_that_was_altered_before_its_change_was_read() {
    let (catalog, _) = begun();
    let rewritten = catalog.alter("b", |_| {}).rewrite();
    let early = rewritten.seen_by(701, &AB, None);
    assert_eq!(early.sure_from(), Some(Lsn(100)));
    let late = rewritten.seen(&AB, Some(&early));
    assert_eq!(early.origins(&late), [Origin::Column(0), Origin::Unknown]);
    // Without a message the values were as they are.
    let mut sure = early.clone();
    sure.make_sure();
    assert_eq!(sure.origins(&late), [Origin::Column(0), Origin::Column(1)]);
    assert_eq!(sure.sure_from(), None);
}

#[test]
fn a_column_that_was_there_and_is_published_later_is_unknown() {
    let catalog = Catalog::new(&ABC);
    let ab = Layout::new(&columns(&AB), &catalog.layout, Seen::Locked, None);
    let abc = catalog.seen(&ABC, Some(&ab));
    assert_eq!(ab.origins(&abc)[2], Origin::Unknown);
}

#[test]
fn tables_of_which_no_file_is_known_keep_nothing_that_was_altered() {
    let (mut catalog, _) = begun();
    catalog.layout.storage = None;
    let ab = Layout::new(&columns(&AB), &catalog.layout, Seen::Locked, None);
    let abc = catalog
        .alter("b", |_| {})
        .add("c", seven())
        .seen(&ABC, Some(&ab));
    let expected = [Origin::Column(0), Origin::Unknown, Origin::Unknown];
    assert_eq!(ab.origins(&abc), expected);
}

#[test]
fn what_is_read_late_is_read_with_the_names_of_its_place() {
    let (catalog, ab) = begun();
    let catalog = catalog
        .add("c", seven())
        .alter("a", |column| column.name = "z".to_owned())
        .drop("b")
        .add("a", MissingValue::Text("8".to_owned()));
    let first = catalog.seen_by(701, &AB, Some(&ab));
    assert_eq!(ab.origins(&first), [Origin::Column(0), Origin::Column(1)]);
    let added = catalog.seen_by(711, &ABC, Some(&first));
    assert_eq!(ab.origins(&added)[2], Origin::Text("7".to_owned()));
    let renamed = [("z", INT), AB[1], ABC[2]];
    let renamed = catalog.seen_by(721, &renamed, Some(&added));
    assert_eq!(added.origins(&renamed), [0, 1, 2].map(Origin::Column));
    let dropped = catalog.seen_by(731, &[("z", INT), ABC[2]], Some(&renamed));
    assert_eq!(renamed.origins(&dropped), [0, 2].map(Origin::Column));
    let again = [("z", INT), ABC[2], ("a", INT)];
    let again = catalog.seen_by(741, &again, Some(&dropped));
    let expected = [
        Origin::Column(0),
        Origin::Text("7".to_owned()),
        Origin::Text("8".to_owned()),
    ];
    assert_eq!(ab.origins(&again), expected);
}

#[test]
fn a_look_at_the_same_columns_is_the_same_layout() {
    let (catalog, ab) = begun();
    let mut again = catalog.layout.clone();
    again.seen_at = Lsn(900);
    let again = Layout::new(&columns(&AB), &again, Seen::During(1000), Some(&ab));
    assert!(ab.is_same(&again));
    let altered = catalog.alter("b", |_| {}).seen(&AB, Some(&ab));
    assert!(!ab.is_same(&altered));
}

#[test]
fn transactions_are_compared_across_the_end_of_their_numbers() {
    assert!(is_younger(5, u32::MAX) && !is_younger(u32::MAX, 5));
    assert!(!is_younger(7, 7));
}
