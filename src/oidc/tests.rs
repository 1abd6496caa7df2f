//! What a provider's statement has to be.

use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::fake::Signer;
use super::keys::{Key, KeySet};
use super::seconds;
use super::statement::{Expected, StatementError, check};

const ISSUER: &str = "https://login.example.com";

#[test]
fn a_statement_is_believed_only_if_all_of_it_is_as_expected() {
    let (signer, other) = (Signer::new("k"), Signer::new("k"));
    let keys = keys(&[signer.public()]);
    let good = claims();
    assert_eq!(tried(&signer.sign(&good), &keys).unwrap(), "s-1");
    let now = seconds(SystemTime::now());
    let cases: [(&str, Value, StatementError); 16] = [
        ("iss", json!("https://login.example.com/"), StatementError::Issuer),
        ("iss", Value::Null, StatementError::Issuer),
        ("aud", json!("other"), StatementError::Audience),
        ("aud", json!(["other"]), StatementError::Audience),
        ("aud", json!(["adit", "other"]), StatementError::Audience),
        ("aud", Value::Null, StatementError::Audience),
        ("azp", json!("other"), StatementError::Audience),
        ("exp", json!(now - 61), StatementError::Time),
        ("exp", Value::Null, StatementError::Time),
        ("exp", json!("soon"), StatementError::Time),
        ("iat", json!(now + 120), StatementError::Time),
        ("iat", Value::Null, StatementError::Time),
        ("nonce", json!("other"), StatementError::Nonce),
        ("nonce", Value::Null, StatementError::Nonce),
        ("sub", json!(""), StatementError::Subject),
        ("sub", json!("x".repeat(256)), StatementError::Subject),
    ];
    for (claim, value, error) in cases {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        assert_eq!(tried(&signer.sign(&claims), &keys), Err(error), "{claim}: {value}");
    }
    let mut several = good.clone();
    several["aud"] = json!(["adit", "other"]);
    several["azp"] = json!("adit");
    assert!(tried(&signer.sign(&several), &keys).is_ok());

    let forged = other.sign(&good);
    assert_eq!(tried(&forged, &keys), Err(StatementError::Signature), "another key of that id");
    for head in [
        json!({ "alg": "none", "kid": "k" }),
        json!({ "alg": "HS256", "kid": "k" }),
        json!({ "alg": "RS256", "kid": "k" }),
        json!({ "alg": "ES256", "kid": "other" }),
    ] {
        let token = signer.sign_under(&head, &good);
        assert_eq!(tried(&token, &keys), Err(StatementError::Signature), "{head}");
    }
    let unknown = signer.sign_under(&json!({ "alg": "ES256", "kid": "k", "crit": ["x"] }), &good);
    assert_eq!(tried(&unknown, &keys), Err(StatementError::Form));
    for none in ["", "a.b", "a.b.c", "....", &forged[1..]] {
        assert!(tried(none, &keys).is_err(), "{none}");
    }
    let (signed, _) = forged.rsplit_once('.').unwrap();
    let unsigned = format!("{signed}.");
    assert_eq!(tried(&unsigned, &keys), Err(StatementError::Signature));
}

#[test]
fn a_key_signs_only_what_it_is_for() {
    let signer = Signer::new("k");
    let token = signer.sign(&claims());
    let mut public = signer.public();
    public["use"] = json!("enc");
    assert_eq!(tried(&token, &keys(&[public])), Err(StatementError::Signature));
    let mut public = signer.public();
    public["x"] = json!(BASE64URL_NOPAD.encode(&[0; 31]));
    assert_eq!(tried(&token, &keys(&[public])), Err(StatementError::Signature));
    let strange = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k" });
    assert!(tried(&token, &keys(&[strange, signer.public()])).is_ok(), "others are passed over");
}

#[test]
fn rsa_signatures_are_those_of_rfc_7515() {
    let key = keys(&[json!({ "kty": "RSA", "e": "AQAB", "n":
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0\
         Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5\
         z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7a\
         GhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" })]);
    // RFC 7515, A.2.
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9l\
        eGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_l\
        F5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIA\
        RNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1ph\
        CnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    assert!(key[0].verifies("RS256", signed.as_bytes(), &signature));
    assert!(!key[0].verifies("RS384", signed.as_bytes(), &signature));
    assert!(!key[0].verifies("RS256", &signed.as_bytes()[1..], &signature));
}

fn claims() -> Value {
    let now = seconds(SystemTime::now());
    json!({ "iss": ISSUER, "aud": "adit", "sub": "s-1", "nonce": "n", "iat": now, "exp": now + 60 })
}

fn tried(token: &str, keys: &[Key]) -> Result<String, StatementError> {
    let now = SystemTime::now();
    let expected = Expected { issuer: ISSUER, client_id: "adit", nonce: "n", now };
    check(token, keys, &expected).map(|vouched| vouched.subject)
}

fn keys(keys: &[Value]) -> Vec<Key> {
    serde_json::from_value::<KeySet>(json!({ "keys": keys })).unwrap().keys
}
