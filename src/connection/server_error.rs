//! `ServerError`: what an ErrorResponse says, whichever client received it.

use std::fmt;

/// An error reported by the server. Shown without its detail, which may hold row values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Five-character SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// The server's advice.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the fields of an ErrorResponse or NoticeResponse body; unknown fields are skipped.
    pub(crate) fn from_fields(mut body: &[u8]) -> ServerError {
        let mut error = ServerError::default();
        while let Some((&field, rest)) = body.split_first() {
            if field == 0 {
                break;
            }
            let length = memchr::memchr(0, rest).unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            body = after.get(1..).unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            match field {
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        error
    }

    /// Whether the same request may succeed later without anybody changing anything: the server is
    /// starting, stopping, out of a resource, or ended the session.
    pub fn is_transient(&self) -> bool {
        let class = self.code.get(..2).unwrap_or_default();
        matches!(class, "08" | "53" | "57" | "58")
            || matches!(
                self.code.as_str(),
                "25P03" | "40001" | "40P01" | "55006" | "55P03"
            )
    }

    /// A wrong password, a role that may not log in, or no matching line in `pg_hba.conf`.
    pub(crate) fn is_authentication(&self) -> bool {
        self.code.starts_with("28")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (sqlstate {})", self.message, self.code)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        ServerError {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_the_detail_is_left_out() {
        let body = b"SERROR\0VERROR\0C42501\0Mpermission denied\0DKey (card)=(4111)\0Hask\0\0";
        let error = ServerError::from_fields(body);
        assert_eq!(
            error.to_string(),
            "permission denied (sqlstate 42501); hint: ask"
        );
    }

    #[test]
    fn truncated_fields_are_survived() {
        let whole = b"SFATAL\0C28P01\0Mno\0\0";
        for length in 0..whole.len() {
            let _ = ServerError::from_fields(&whole[..length]);
        }
        assert_eq!(ServerError::from_fields(b"C28P01").code, "28P01");
    }

    #[test]
    fn transient_is_told_from_definite() {
        for (code, transient) in [
            ("57P03", true),
            ("53300", true),
            ("40P01", true),
            ("42501", false),
            ("", false),
        ] {
            let error = ServerError {
                code: code.to_owned(),
                ..ServerError::default()
            };
            assert_eq!(error.is_transient(), transient, "{code}");
        }
    }
}
