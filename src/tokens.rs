//! Fresh tokens.

use access::{CaPin, TokenKind, TokenText};

/// Makes a token of this kind from random bytes. `pin` goes into tokens that a machine may hold and
/// nothing else, so that it knows its relay at the first connection.
pub fn issue(kind: TokenKind, pin: CaPin) -> TokenText {
    let pin = is_enough_alone(kind).then_some(pin);
    TokenText::new(kind, rand::random(), rand::random(), pin)
}

/// Whether its holder may know nothing else of the relay.
fn is_enough_alone(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Api | TokenKind::Access | TokenKind::Login | TokenKind::Join => true,
        // Browsers know the relay by its name.
        TokenKind::Admin | TokenKind::SignIn => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_that_has_to_be_enough_alone_carries_the_pin() {
        for kind in TokenKind::ALL {
            let token = issue(kind, CaPin([7; 32]));
            let alone = ![TokenKind::Admin, TokenKind::SignIn].contains(&kind);
            assert_eq!(token.pin().is_some(), alone, "{kind}");
        }
    }

    #[test]
    fn two_tokens_are_never_alike() {
        let issued = || issue(TokenKind::Api, CaPin([0; 32]));
        assert_ne!(issued().expose(), issued().expose());
    }
}
