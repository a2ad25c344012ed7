//! Keys and certificates, made by the openssl command.

use std::path::Path;
use std::process::Command;

/// Runs openssl in a directory.
pub(crate) fn openssl(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let ended = command.args(arguments).current_dir(directory).output();
    let ended = ended.unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// A new key, `{name}.key`, and a certificate of that name that it has signed, `{name}.crt`.
pub(crate) fn self_signed(directory: &Path, name: &str, extensions: &[&str]) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let mut arguments = vec!["req", "-x509", "-newkey", "ec"];
    arguments.extend(["-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    arguments.extend(["-days", "2", "-subj", &subject]);
    arguments.extend(["-keyout", &key, "-out", &certificate]);
    let extensions = extensions.iter();
    arguments.extend(extensions.flat_map(|extension| ["-addext", extension]));
    openssl(directory, &arguments);
}
