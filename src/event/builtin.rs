//! Built-in array types by oid: those of `pg_type.dat`, which never change.

/// Oids of array types and of their elements, by the former.
#[rustfmt::skip]
const ARRAYS: [(u32, u32); 76] = [
    (143, 142), (199, 114), (271, 5069), (629, 628), (651, 650), (719, 718), (775, 774),
    (791, 790), (1000, 16), (1001, 17), (1002, 18), (1003, 19), (1005, 21), (1006, 22),
    (1007, 23), (1008, 24), (1009, 25), (1010, 27), (1011, 28), (1012, 29), (1013, 30),
    (1014, 1042), (1015, 1043), (1016, 20), (1017, 600), (1018, 601), (1019, 602), (1020, 603),
    (1021, 700), (1022, 701), (1027, 604), (1028, 26), (1034, 1033), (1040, 829), (1041, 869),
    (1115, 1114), (1182, 1082), (1183, 1083), (1185, 1184), (1187, 1186), (1231, 1700),
    (1263, 2275), (1270, 1266), (1561, 1560), (1563, 1562), (2201, 1790), (2207, 2202),
    (2208, 2203), (2209, 2204), (2210, 2205), (2211, 2206), (2949, 2970), (2951, 2950),
    (3221, 3220), (3643, 3614), (3645, 3615), (3735, 3734), (3770, 3769), (3807, 3802),
    (3905, 3904), (3907, 3906), (3909, 3908), (3911, 3910), (3913, 3912), (3927, 3926),
    (4073, 4072), (4090, 4089), (4097, 4096), (4192, 4191), (5039, 5038), (6150, 4451),
    (6151, 4532), (6152, 4533), (6153, 4534), (6155, 4535), (6157, 4536),
];
const BOX: u32 = 603;

/// The element's oid and the delimiter of a built-in array type.
pub(super) fn builtin_array(oid: u32) -> Option<(u32, u8)> {
    let at = ARRAYS
        .binary_search_by_key(&oid, |(array, _)| *array)
        .ok()?;
    let (_, element) = ARRAYS.get(at)?;
    Some((*element, if *element == BOX { b';' } else { b',' }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_found_by_their_oid() {
        assert!(ARRAYS.is_sorted());
        for (array, element) in ARRAYS {
            assert_eq!(
                builtin_array(array).map(|(element, _)| element),
                Some(element)
            );
        }
        assert_eq!(builtin_array(1020), Some((603, b';')));
        assert_eq!(builtin_array(1007), Some((23, b',')));
        assert_eq!(builtin_array(23), None);
    }
}
