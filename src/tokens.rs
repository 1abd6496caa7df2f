//! Fresh tokens.

use access::{CaPin, TokenKind, TokenText};

/// Makes a token of this kind from random bytes. `pin` goes into tokens that enrol a machine, so
/// that it knows its relay at the first connection.
pub fn issue(kind: TokenKind, pin: CaPin) -> TokenText {
    let pin = matches!(kind, TokenKind::Login | TokenKind::Join).then_some(pin);
    TokenText::new(kind, rand::random(), rand::random(), pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_that_enrol_a_machine_carry_the_pin() {
        for kind in TokenKind::ALL {
            let token = issue(kind, CaPin([7; 32]));
            let enrols = matches!(kind, TokenKind::Login | TokenKind::Join);
            assert_eq!(token.pin().is_some(), enrols, "{kind}");
        }
    }

    #[test]
    fn two_tokens_are_never_alike() {
        let issued = || issue(TokenKind::Api, CaPin([0; 32]));
        assert_ne!(issued().expose(), issued().expose());
    }
}
