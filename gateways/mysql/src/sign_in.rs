//! By what a client shows that a token is its own: the token as a password, or a proof that it knows it
//! where the door takes one.

use std::net::IpAddr;

use access::{Authenticated, NativeProof, TokenId};
use bytes::BytesMut;
use session::{AuthnError, Door};

use crate::Gateway;
use crate::auth::Plugin;
use crate::client::{ClientError, Shown, ask, scramble};
use crate::proto::{self, Told};
use crate::wire::{Wire, send};
use crate::words;

impl Gateway {
    /// Who a client is, or why it is nobody. `Err`: it has been told, or is gone.
    pub(crate) async fn sign_in(
        &self,
        io: &mut Wire,
        number: &mut u8,
        (user, shown): (&str, Shown<'_>),
        from: IpAddr,
    ) -> Result<Result<Authenticated, Told>, ClientError> {
        let refused = |error: AuthnError| words::explain(&error);
        match proto::token(user).filter(|_| self.native_password) {
            Some(id) => {
                let proof = prove(io, number, TokenId::from(id.to_owned())).await?;
                let Some(proof) = proof else { return Ok(Err(refused(AuthnError::Form))) };
                let who = self.authn.token_native(&proof, Door::Mysql, from).await;
                Ok(who.map_err(refused))
            }
            None => {
                let token = ask(io, number, shown).await?;
                Ok(self.authn.token(&token, Door::Mysql, from).await.map_err(refused))
            }
        }
    }
}

/// Asks for a proof that the client knows the token of this id; `None`: it gives none.
async fn prove(
    io: &mut Wire,
    number: &mut u8,
    token: TokenId,
) -> Result<Option<NativeProof>, ClientError> {
    let scramble = scramble()?;
    let mut out = BytesMut::new();
    proto::switch(&mut out, number, Plugin::Native.name(), &scramble);
    send(io, &out).await?;
    let answer = io.packet(number).await?;
    let answer = <[u8; 20]>::try_from(answer.as_slice()).ok();
    Ok(answer.map(|answer| NativeProof { token, scramble, answer }))
}
