use super::*;

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

#[test]
fn a_file_gives_its_text_without_the_last_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for (content, wanted) in [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("a\r\n", "a"), ("a\n\n", "a\n")]
    {
        std::fs::write(&path, content).unwrap();
        assert_eq!(secret(&format!("file:{}", path.display())).resolve().unwrap(), wanted, "{content:?}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let missing = secret("env:ODOMETER_NO_SUCH_VARIABLE").resolve().unwrap_err();
    assert!(missing.to_string().contains("ODOMETER_NO_SUCH_VARIABLE is not set"), "{missing}");
    let missing = secret("file:no/such/file").resolve().unwrap_err();
    assert!(missing.to_string().starts_with("is file:no/such/file, but"), "{missing}");
}

#[test]
fn a_variable_gives_its_text() {
    // Cargo sets it for every test.
    assert_eq!(secret("env:CARGO_PKG_NAME").resolve().unwrap(), "odometer");
}

#[test]
fn a_literal_is_never_printed() {
    assert_eq!(format!("{:?}", secret("hunter2")), "***");
    assert_eq!(secret("hunter2").resolve().unwrap(), "hunter2");
}
