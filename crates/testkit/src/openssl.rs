use std::path::Path;
use std::process::Command;

/// Makes a key on P-256 and a certificate of two days that it signs itself; for whom, the caller says.
pub fn self_signed(certificate: &Path, key: &Path) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-days", "2", "-out"]).arg(certificate).arg("-keyout").arg(key);
    openssl
}
