//! Second factors of people.

use store::{EndOthers, NewTotp, PasskeyRow};
use zeroize::Zeroizing;

use crate::support::{Home, after, name, now, small};

#[tokio::test]
async fn a_step_and_a_recovery_code_count_once_whoever_asks_at_the_same_time() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let user = store.user(&name("alice")).await.unwrap().unwrap().id;
    assert!(store.totp(user).await.unwrap().is_none());
    assert_eq!(store.recovery_codes_left(user).await.unwrap(), 0);
    let key = Zeroizing::new(b"12345678901234567890".to_vec());
    let new = NewTotp { user, key: key.clone(), step: 100, recovery: vec![[1; 32], [2; 32]] };
    let others = EndOthers { but: None, why: "test" };
    assert_eq!(store.put_totp(new, others, now()).await.unwrap(), []);
    assert_eq!(store.totp(user).await.unwrap().unwrap().key, key);

    assert!(!store.use_totp_step(user, 100).await.unwrap(), "the one it was set up with");
    assert!(!store.use_totp_step(user, 99).await.unwrap());
    let both = tokio::join!(store.use_totp_step(user, 101), store.use_totp_step(user, 101));
    assert_eq!(u8::from(both.0.unwrap()) + u8::from(both.1.unwrap()), 1);

    let used = |digest, at| store.use_recovery_code(user, digest, at);
    let both = tokio::join!(used([1; 32], after(1)), used([1; 32], after(1)));
    assert_eq!(u8::from(both.0.unwrap()) + u8::from(both.1.unwrap()), 1);
    assert!(!used([3; 32], after(2)).await.unwrap());
    assert_eq!(store.recovery_codes_left(user).await.unwrap(), 1);
    store.put_recovery_codes(user, &[[4; 32]]).await.unwrap();
    assert!(!used([2; 32], after(3)).await.unwrap(), "others took their place");
    assert!(store.remove_totp(user).await.unwrap());
    assert!(!store.remove_totp(user).await.unwrap());
    assert_eq!(store.recovery_codes_left(user).await.unwrap(), 0);
}

#[tokio::test]
async fn a_passkeys_count_is_taken_once_and_it_goes_with_its_user() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let user = store.user(&name("alice")).await.unwrap().unwrap().id;
    let new = PasskeyRow {
        id: "abc".to_owned(),
        user,
        name: "laptop".to_owned(),
        algorithm: -7,
        public_key: vec![0x30, 1, 2],
        counter: 0,
        created: 1,
        used: None,
    };
    let others = || EndOthers { but: None, why: "test" };
    assert_eq!(store.add_passkey(&new, others(), now()).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.add_passkey(&new, others(), now()).await.unwrap(), None, "it is there");
    assert_eq!(store.passkeys(user).await.unwrap(), std::slice::from_ref(&new));
    let used = |from, to| store.use_passkey("abc", (from, to), now());
    assert!(used(0, 0).await.unwrap() && used(0, 0).await.unwrap(), "one that does not count");
    let both = tokio::join!(used(0, 5), used(0, 5));
    assert_eq!(u8::from(both.0.unwrap()) + u8::from(both.1.unwrap()), 1);
    let row = store.passkey("abc").await.unwrap().unwrap();
    assert!(row.counter == 5 && row.used.is_some());
    assert!(!store.remove_passkey(user, "other").await.unwrap());
    assert_eq!(store.remove_passkeys(user).await.unwrap(), 1);
    assert_eq!(store.passkey("abc").await.unwrap(), None);
}
