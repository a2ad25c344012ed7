//! Column defaults: the expression, and its value where that is a constant.

use serde::{Deserialize, Serialize};

/// A column's `DEFAULT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefault {
    /// As SQL writes it, `now()` or `'new'::text`.
    pub expression: String,
    /// What it always gives, as the output function of the constant's own type writes it: the column's
    /// may round or pad it. `None` where it has to be evaluated for each row.
    pub constant: Option<String>,
}

impl ColumnDefault {
    /// Reads what `pg_get_expr` says; `None` for a null, which is no default.
    pub fn of_expression(expression: &str) -> Option<Self> {
        if expression.starts_with("NULL::") || expression == "NULL" {
            return None;
        }
        Some(ColumnDefault {
            constant: constant(expression),
            expression: expression.to_owned(),
        })
    }
}

/// The server writes a constant as a literal with its type, `'it''s'::text`, and where that goes
/// without saying as a bare `1.5` or `true`.
fn constant(expression: &str) -> Option<String> {
    if let Some(quoted) = expression.strip_prefix('\'') {
        return literal(quoted);
    }
    let bare = match expression {
        "true" => "t",
        "false" => "f",
        number if super::json::is_number(number.as_bytes()) => number,
        _ => return None,
    };
    Some(bare.to_owned())
}

/// After the opening quote: the content, if nothing but a type follows it.
fn literal(quoted: &str) -> Option<String> {
    let mut content = String::new();
    let mut rest = quoted;
    loop {
        let (run, after) = rest.split_once('\'')?;
        content.push_str(run);
        rest = match after.strip_prefix('\'') {
            Some(after) => after,
            None => return is_cast(after).then_some(content),
        };
        content.push('\'');
    }
}

/// Whether it is `::text`, `::character varying`, `::public."My Type"`, `::integer[]`.
fn is_cast(text: &str) -> bool {
    let Some(name) = text.strip_prefix("::") else {
        return false;
    };
    let mut within = false;
    !name.is_empty()
        && name.chars().all(|character| {
            within ^= character == '"';
            within || character.is_alphanumeric() || r#" "_$.[]"#.contains(character)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_told_from_expressions() {
        for (expression, expected) in [
            ("5", Some("5")),
            ("1.5", Some("1.5")),
            ("true", Some("t")),
            ("false", Some("f")),
            ("'-1'::integer", Some("-1")),
            ("'it''s'::text", Some("it's")),
            ("''::character varying", Some("")),
            ("''''::text", Some("'")),
            ("'A b'::\"My (Enum)\"", Some("A b")),
            ("'sad'::public.mood", Some("sad")),
            ("'{1,2}'::integer[]", Some("{1,2}")),
            (
                "'2020-01-01 00:00:00+00'::timestamp with time zone",
                Some("2020-01-01 00:00:00+00"),
            ),
            ("'a\\b\n'::text", Some("a\\b\n")),
            ("now()", None),
            ("CURRENT_DATE", None),
            ("(1 + 2)", None),
            ("('a'::text || 'b'::text)", None),
            ("'a'::text || now()", None),
            ("nextval('t_id_seq'::regclass)", None),
            ("ARRAY[1, 2]", None),
        ] {
            let found = ColumnDefault::of_expression(expression).unwrap();
            assert_eq!(found.constant.as_deref(), expected, "{expression}");
            assert_eq!(found.expression, expression);
        }
    }

    #[test]
    fn null_is_no_default() {
        assert_eq!(ColumnDefault::of_expression("NULL::text"), None);
    }
}
