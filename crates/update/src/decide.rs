//! Whether a connector takes what was published.

use std::borrow::Cow;

use semver::Version;

use crate::key::PublicKey;
use crate::manifest::{File, MAX_FILE, Manifest, Ring, Signed};

/// How it stands with the one that decides.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub program: &'a str,
    pub version: &'a Version,
    pub platform: &'a str,
    pub ring: Ring,
    /// The highest serial of a manifest that was seen.
    pub serial: u64,
    /// Versions that were tried and did not reach the relay.
    pub failed: &'a [Version],
    /// Unix seconds.
    pub now: u64,
}

/// What becomes of a manifest that is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take(File),
    Leave(Why),
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is the version that runs.
    Current,
    /// Its ring has not come yet.
    Later,
    /// It was tried, and did not reach the relay.
    Failed,
}

/// Why a manifest is not to be trusted, or is of no use here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the manifest is not signed by the publisher's key")]
    Signature,
    #[error("the manifest is not readable")]
    Malformed,
    #[error("the manifest is for {program:?}")]
    OtherProgram { program: String },
    #[error("the manifest has expired")]
    Expired,
    #[error("the manifest is older than one that was seen before ({serial} after {seen})")]
    Replayed { serial: u64, seen: u64 },
    #[error("the manifest's version {version} is older than {running}, which runs")]
    Downgrade { version: Version, running: Version },
    #[error(
        "version {running} is too old to update itself to {version}; it takes {minimum} or later"
    )]
    TooOld { running: Version, version: Version, minimum: Version },
    #[error("there is no program for {platform}")]
    NoPlatform { platform: String },
    #[error("the program has {size} bytes, and may have {MAX_FILE} at most")]
    TooLarge { size: u64 },
}

impl Refused {
    /// Stable, such as `update.signature`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature => "update.signature",
            Self::Malformed => "update.manifest",
            Self::OtherProgram { .. } => "update.program",
            Self::Expired => "update.expired",
            Self::Replayed { .. } => "update.replayed",
            Self::Downgrade { .. } => "update.downgrade",
            Self::TooOld { .. } => "update.too_old",
            Self::NoPlatform { .. } => "update.platform",
            Self::TooLarge { .. } => "update.too_large",
        }
    }

    /// What helps.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Signature => {
                "the relay serves what somebody else signed: look at its [updates] folder; where \
                 the publisher has a new key, put it into [update] of connector.toml"
                    .into()
            }
            Self::Malformed | Self::OtherProgram { .. } | Self::TooLarge { .. } => {
                "publish again with `adit-relay update publish`".into()
            }
            Self::Expired => "publish again: `adit-relay update ring` signs for longer".into(),
            Self::Replayed { .. } | Self::Downgrade { .. } => {
                "the relay serves an old manifest: publish again, or bring its folder up to date"
                    .into()
            }
            Self::TooOld { minimum, .. } => {
                format!("install {minimum} or later by hand, once").into()
            }
            Self::NoPlatform { platform } => {
                format!("publish with --file {platform}=PROGRAM").into()
            }
        }
    }
}

/// Checks who signed a manifest, and whether what it offers is to be taken. A manifest that is
/// genuine is given in any case, so that its serial is remembered.
pub fn decide(
    signed: &Signed,
    key: &PublicKey,
    standing: Standing<'_>,
) -> Result<(Manifest, Result<Verdict, Refused>), Refused> {
    let manifest = signed.open(key)?;
    if manifest.program != standing.program {
        return Err(Refused::OtherProgram { program: manifest.program });
    }
    if manifest.serial < standing.serial {
        return Err(Refused::Replayed { serial: manifest.serial, seen: standing.serial });
    }
    if manifest.expires <= standing.now {
        return Err(Refused::Expired);
    }
    let verdict = judge(&manifest, standing);
    Ok((manifest, verdict))
}

fn judge(manifest: &Manifest, standing: Standing<'_>) -> Result<Verdict, Refused> {
    let (version, running) = (&manifest.version, standing.version);
    if version == running {
        return Ok(Verdict::Leave(Why::Current));
    }
    if version < running {
        return Err(Refused::Downgrade { version: version.clone(), running: running.clone() });
    }
    if standing.failed.contains(version) {
        return Ok(Verdict::Leave(Why::Failed));
    }
    if standing.ring > manifest.ring {
        return Ok(Verdict::Leave(Why::Later));
    }
    if let Some(minimum) = manifest.minimum.as_ref().filter(|minimum| running < *minimum) {
        let (running, version) = (running.clone(), version.clone());
        return Err(Refused::TooOld { running, version, minimum: minimum.clone() });
    }
    let platform = standing.platform;
    let no_platform = || Refused::NoPlatform { platform: platform.to_owned() };
    let file = manifest.file(platform).ok_or_else(no_platform)?;
    if file.size > MAX_FILE {
        return Err(Refused::TooLarge { size: file.size });
    }
    Ok(Verdict::Take(file.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Signer};

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn manifest() -> Manifest {
        let file = |platform: &str, size| File {
            platform: platform.to_owned(),
            sha256: Digest::of(b"program"),
            size,
        };
        Manifest {
            program: "adit-connector".to_owned(),
            version: version("1.2.0"),
            serial: 7,
            expires: 2000,
            minimum: None,
            ring: Ring::All,
            files: vec![file("x86_64-linux", 7), file("aarch64-linux", MAX_FILE + 1)],
        }
    }

    fn standing<'a>(running: &'a Version, failed: &'a [Version]) -> Standing<'a> {
        Standing {
            program: "adit-connector",
            version: running,
            platform: "x86_64-linux",
            ring: Ring::All,
            serial: 7,
            failed,
            now: 1999,
        }
    }

    #[test]
    fn what_is_new_is_taken_by_those_whose_turn_it_is() {
        let (signer, _) = Signer::generate().unwrap();
        let key = signer.public();
        let running = version("1.1.9");
        let rings = [Ring::First, Ring::Early, Ring::All];
        for (published, ring) in rings.into_iter().flat_map(|p| rings.map(|r| (p, r))) {
            let signed = Manifest { ring: published, ..manifest() }.sign(&signer);
            let (_, verdict) =
                decide(&signed, &key, Standing { ring, ..standing(&running, &[]) }).unwrap();
            let taken = matches!(verdict, Ok(Verdict::Take(_)));
            assert_eq!(taken, ring <= published, "{published} for {ring}");
        }
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_code() {
        let (signer, _) = Signer::generate().unwrap();
        let running = version("1.1.9");
        let with = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            manifest.sign(&signer)
        };
        let at = standing(&running, &[]);
        let arm = Standing { platform: "aarch64-linux", ..at };
        let table = [
            ("update.program", with(|m| m.program = "adit".to_owned()), at),
            ("update.expired", with(|m| m.expires = 1999), at),
            ("update.replayed", with(|m| m.serial = 6), at),
            ("update.downgrade", with(|m| m.version = Version::new(1, 1, 8)), at),
            ("update.too_old", with(|m| m.minimum = Some(Version::new(1, 2, 0))), at),
            ("update.platform", with(|_| ()), Standing { platform: "riscv64-linux", ..at }),
            ("update.too_large", with(|_| ()), arm),
        ];
        for (code, signed, standing) in table {
            let refused = match decide(&signed, &signer.public(), standing) {
                Err(refused) => refused,
                Ok((_, verdict)) => verdict.unwrap_err(),
            };
            assert_eq!(refused.code(), code);
            assert!(!refused.hint().is_empty());
        }
    }

    #[test]
    fn what_runs_and_what_failed_is_left_alone() {
        let (signer, _) = Signer::generate().unwrap();
        let verdict = |running: &Version, failed: &[Version]| {
            let signed = manifest().sign(&signer);
            decide(&signed, &signer.public(), standing(running, failed)).unwrap().1.unwrap()
        };
        assert_eq!(verdict(&version("1.2.0"), &[]), Verdict::Leave(Why::Current));
        let failed = [version("1.2.0")];
        assert_eq!(verdict(&version("1.1.0"), &failed), Verdict::Leave(Why::Failed));
    }

    #[test]
    fn no_changed_byte_and_no_other_key_passes() {
        let (signer, _) = Signer::generate().unwrap();
        let (other, _) = Signer::generate().unwrap();
        let signed = manifest().sign(&signer);
        assert_eq!(signed.open(&signer.public()).unwrap(), manifest());
        assert_eq!(signed.open(&other.public()), Err(Refused::Signature));
        let text = serde_json::to_string(&signed).unwrap();
        let mut refused = 0;
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1;
            let Ok(changed) = serde_json::from_slice::<Signed>(&changed) else { continue };
            assert_eq!(changed.open(&signer.public()), Err(Refused::Signature), "{place}");
            refused += 1;
        }
        assert!(refused > 300, "only {refused} changes were read");
        for cut in 0..text.len() {
            assert!(serde_json::from_str::<Signed>(&text[..cut]).is_err());
        }
    }
}
