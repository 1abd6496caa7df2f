//! What clients of the relay ask.

use gateway_web::fuzzing::passed;

/// The same bytes pass, and the same verdict is made, however a connection's bytes are cut; and what
/// passed is a beginning of what came, empty lines before a request aside.
pub(crate) fn http(bytes: &[u8]) {
    let whole = passed(bytes, bytes.len());
    for piece in [1, 7] {
        let cut = passed(bytes, piece);
        // A head that is refused later may have let more through before it.
        assert_eq!(cut.1, whole.1, "in pieces of {piece}");
        if whole.1 {
            assert_eq!(cut.0, whole.0, "in pieces of {piece}");
        }
    }
    assert!(whole.0.len() <= bytes.len());
}

/// A configuration that is read is the same after it was written.
pub(crate) fn document(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<api::Document>(bytes) else { return };
    let Ok(written) = serde_json::to_value(&document) else { return };
    let again = serde_json::from_value::<api::Document>(written.clone());
    let again = again.and_then(serde_json::to_value);
    assert_eq!(again.ok(), Some(written));
}
