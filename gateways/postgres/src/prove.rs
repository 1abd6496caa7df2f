//! SCRAM-SHA-256 towards clients: they prove that they know a token, and are shown that the relay
//! does. Pure.

use access::{SCRAM_ITERATIONS, TokenId, TokenProof, scram_salt};
use data_encoding::BASE64;

use crate::scram::{PLAIN, PLUS};

/// What a client is asked to prove.
#[derive(Debug)]
pub(crate) struct Challenge {
    token: TokenId,
    /// Its first message, without the header.
    bare: String,
    /// The header, and what the exchange is bound to.
    bound: Vec<u8>,
    nonce: String,
    first: String,
}

/// What is no message of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveFault {
    #[error("the SCRAM mechanism is none that was offered")]
    Mechanism,
    #[error("the SCRAM message is not understood")]
    Message,
    #[error("the SCRAM exchange is bound to something else")]
    Binding,
    #[error("the SCRAM nonce is another")]
    Nonce,
}

impl Challenge {
    /// Answers a client's first message. `end_point` is the hash of the certificate that it was
    /// shown; `random` is a nonce.
    pub(crate) fn answer(
        token: TokenId,
        (mechanism, first): (&str, &str),
        end_point: Option<&[u8]>,
        random: &str,
    ) -> Result<Self, ProveFault> {
        let (flag, rest) = first.split_once(',').ok_or(ProveFault::Message)?;
        // Nobody acts for others.
        let bare = rest.strip_prefix(',').ok_or(ProveFault::Message)?;
        let mut bound = format!("{flag},,").into_bytes();
        match (mechanism, flag, end_point) {
            (PLUS, "p=tls-server-end-point", Some(hash)) => bound.extend_from_slice(hash),
            // Who could bind and was not offered it: somebody in between may have taken it out.
            (PLAIN, "y", Some(_)) => return Err(ProveFault::Binding),
            (PLAIN, "n" | "y", _) => {}
            _ => return Err(ProveFault::Mechanism),
        }
        let mut parts = bare.split(',');
        let named = parts.next().is_some_and(|part| part.starts_with("n="));
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| named && !nonce.is_empty()).ok_or(ProveFault::Message)?;
        let nonce = format!("{nonce}{random}");
        let salt = BASE64.encode(&scram_salt(&token));
        let first = format!("r={nonce},s={salt},i={SCRAM_ITERATIONS}");
        Ok(Self { token, bare: bare.to_owned(), bound, nonce, first })
    }

    pub(crate) fn text(&self) -> &str {
        &self.first
    }

    /// The proof in a client's last message.
    pub(crate) fn proof(self, last: &str) -> Result<TokenProof, ProveFault> {
        let (without, proof) = last.rsplit_once(",p=").ok_or(ProveFault::Message)?;
        let mut parts = without.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let (bound, nonce) = (part("c="), part("r="));
        let bound = bound.and_then(|bound| BASE64.decode(bound.as_bytes()).ok());
        if bound.ok_or(ProveFault::Message)? != self.bound {
            return Err(ProveFault::Binding);
        }
        if nonce.ok_or(ProveFault::Message)? != self.nonce {
            return Err(ProveFault::Nonce);
        }
        let proof = BASE64.decode(proof.as_bytes()).ok();
        let proof = proof.and_then(|proof| proof.try_into().ok()).ok_or(ProveFault::Message)?;
        let said = format!("{},{},{without}", self.bare, self.first);
        Ok(TokenProof { token: self.token, said, proof })
    }
}

#[cfg(test)]
mod tests {
    use access::{ScramVerifier, TokenKind, TokenText};

    use super::*;
    use crate::scram::{Binding, Scram};

    fn token() -> TokenText {
        TokenText::new(TokenKind::Access, [1; 7], [2; 20], None)
    }

    #[test]
    fn who_knows_the_token_proves_it_and_is_shown_that_we_know_it() {
        let hash = vec![7; 32];
        for (binding, end_point) in [
            (Binding::None, None),
            (Binding::Unoffered, None),
            (Binding::None, Some(hash.as_slice())),
            (Binding::Certificate(hash.clone()), Some(hash.as_slice())),
        ] {
            let (token, client) = (token(), Scram::begin(binding.clone()).unwrap());
            let first = (client.mechanism(), &*client.first());
            let challenge = Challenge::answer(token.id().clone(), first, end_point, "xyz").unwrap();
            let text = challenge.text().as_bytes().to_vec();
            let proven = client.prove(&text, &token.expose().into()).unwrap();
            let proof = challenge.proof(&proven.message).unwrap();
            let signature = ScramVerifier::of(&token).check(&proof).unwrap();
            let last = format!("v={}", BASE64.encode(&signature));
            assert_eq!(proven.check(last.as_bytes()), Ok(()), "{binding:?}");
            // Of another token it proves nothing.
            let other = TokenText::new(TokenKind::Access, [1; 7], [3; 20], None);
            assert_eq!(ScramVerifier::of(&other).check(&proof), None);
        }
    }

    #[test]
    fn who_is_in_between_gets_no_proof() {
        let id = || token().id().clone();
        let answer = |mechanism, first, end_point| {
            Challenge::answer(id(), (mechanism, first), end_point, "xyz").map(|_| ())
        };
        let hash = Some(&[7; 32][..]);
        let plus = "p=tls-server-end-point,,n=,r=abc";
        for (mechanism, first, end_point, fault) in [
            // Took out that we offer binding.
            (PLAIN, "y,,n=,r=abc", hash, ProveFault::Binding),
            (PLUS, "n,,n=,r=abc", hash, ProveFault::Mechanism),
            (PLUS, plus, None, ProveFault::Mechanism),
            (PLAIN, plus, hash, ProveFault::Mechanism),
            ("SCRAM-SHA-1", "n,,n=,r=abc", hash, ProveFault::Mechanism),
            (PLAIN, "n,a=other,n=,r=abc", hash, ProveFault::Message),
            (PLAIN, "n,,n=,r=", hash, ProveFault::Message),
            (PLAIN, "n,,m=x,n=,r=abc", hash, ProveFault::Message),
            (PLAIN, "", hash, ProveFault::Message),
        ] {
            assert_eq!(answer(mechanism, first, end_point), Err(fault), "{mechanism} {first}");
        }
        let proof = |last: &str| {
            let challenge = Challenge::answer(id(), (PLUS, plus), hash, "xyz").unwrap();
            challenge.proof(last).map(|_| ()).unwrap_err()
        };
        let bound = |hash: u8| {
            let text = [b"p=tls-server-end-point,,".as_slice(), &[hash; 32]].concat();
            BASE64.encode(&text)
        };
        let good = BASE64.encode(&[0; 32]);
        // Was shown another certificate.
        assert_eq!(proof(&format!("c={},r=abcxyz,p={good}", bound(8))), ProveFault::Binding);
        assert_eq!(proof(&format!("c={},r=abcxy,p={good}", bound(7))), ProveFault::Nonce);
        assert_eq!(proof(&format!("c={},r=abcxyz,p=AAAA", bound(7))), ProveFault::Message);
        assert_eq!(proof("c=?,r=abcxyz"), ProveFault::Message);
    }
}
