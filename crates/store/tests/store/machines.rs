use access::{Agent, AgentId, ConnectorId, TokenKind, TokenText};
use store::{AgentQuery, AgentToken, NewToken, Object, StoreError};
use uuid::Uuid;

use crate::support::{Home, after, name, small};

#[tokio::test]
async fn an_agent_is_known_by_its_key_until_it_is_revoked() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let alice = store.user(&name("alice")).await.unwrap().unwrap().id;
    let id = AgentId(Uuid::new_v4());
    store.enrol_agent(id, alice, "laptop", [7; 32], after(60), None).await.unwrap();
    let agent = store.agent_by_key([7; 32]).await.unwrap().unwrap();
    assert_eq!((agent.id, agent.user, &agent.user_name), (id, alice, &name("alice")));
    let laptop = |expires| Agent { id, user: alice, expires, bound: false, ssh_key: None };
    assert_eq!(store.load_policy().await.unwrap().agents, [laptop(after(60))]);

    assert!(store.renew_agent(id, [8; 32], after(120)).await.unwrap());
    assert_eq!(store.agent_by_key([7; 32]).await.unwrap(), None);
    assert_eq!(store.load_policy().await.unwrap().agents, [laptop(after(120))]);

    assert!(store.revoke_agent(id).await.unwrap());
    assert_eq!(store.agent_by_key([8; 32]).await.unwrap(), None);
    assert!(!store.renew_agent(id, [8; 32], after(180)).await.unwrap());
    assert!(!store.revoke_agent(id).await.unwrap());
    assert_eq!(store.load_policy().await.unwrap().agents, []);
}

#[tokio::test]
async fn an_agent_remembers_the_token_it_stands_on_and_goes_with_it() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let alice = store.user(&name("alice")).await.unwrap().unwrap().id;
    let application = store.applications().await.unwrap().remove(0);
    let token = TokenText::new(TokenKind::Access, [1; 7], [2; 20], None);
    let new =
        NewToken { user: Some(alice), application: Some(application.id), ..NewToken::default() };
    store.issue_token(&token, new, after(0)).await.unwrap();
    let [first, second] = [(); 2].map(|()| AgentId(Uuid::new_v4()));
    let stands_on = Some(token.id());
    store.enrol_agent(first, alice, "laptop", [1; 32], after(60), stands_on).await.unwrap();
    store.enrol_agent(second, alice, "laptop", [2; 32], after(60), None).await.unwrap();
    let (id, kind) = (token.id().clone(), TokenKind::Access);
    let known = store.agent_by_key([1; 32]).await.unwrap().unwrap();
    assert_eq!(known.token, Some(AgentToken { id, kind, application: Some(application.id) }));
    assert_eq!(store.agent_by_key([2; 32]).await.unwrap().unwrap().token, None);
    let agents = store.load_policy().await.unwrap().agents;
    let bound = |id| agents.iter().find(|agent| agent.id == id).unwrap().bound;
    assert_eq!((bound(first), bound(second)), (true, false));
    let gone = Object::Application { name: application.name, site: Some(application.site) };
    store.remove(gone).await.unwrap();
    assert_eq!(store.agent_by_key([1; 32]).await.unwrap(), None);
    assert!(store.agent_by_key([2; 32]).await.unwrap().is_some());
}

#[tokio::test]
async fn agents_go_with_their_user() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let bob = store.user(&name("bob")).await.unwrap().unwrap().id;
    store
        .enrol_agent(AgentId(Uuid::new_v4()), bob, "desk", [1; 32], after(60), None)
        .await
        .unwrap();
    assert_eq!(
        store
            .agents(AgentQuery { user: Some(name("bob")), ..AgentQuery::default() })
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        store
            .agents(AgentQuery { user: Some(name("alice")), ..AgentQuery::default() })
            .await
            .unwrap(),
        []
    );
    store.set_enabled(&name("bob"), false).await.unwrap();
    assert!(!store.agent_by_key([1; 32]).await.unwrap().unwrap().enabled);
    store.remove(Object::User(name("bob"))).await.unwrap();
    assert_eq!(store.agents(AgentQuery::default()).await.unwrap(), []);
    let error =
        store.enrol_agent(AgentId(Uuid::new_v4()), bob, "x", [2; 32], after(60), None).await;
    assert!(matches!(error, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_connector_is_known_by_its_key_and_goes_with_its_site() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let site = store.sites().await.unwrap()[0].id;
    let [first, second] = [(); 2].map(|()| ConnectorId(Uuid::new_v4()));
    store.enrol_connector(first, site, "east", [1; 32]).await.unwrap();
    store.enrol_connector(second, site, "west", [2; 32]).await.unwrap();
    let known = store.connector_by_key([1; 32]).await.unwrap().unwrap();
    assert_eq!((known.id, known.site_id, known.name.as_str()), (first, site, "east"));
    assert!(store.renew_connector(first, [3; 32]).await.unwrap());
    assert_eq!(store.connector_by_key([1; 32]).await.unwrap(), None);
    assert_eq!(store.connector_by_key([3; 32]).await.unwrap().unwrap().id, first);
    assert!(store.remove_connector(second).await.unwrap());
    assert!(!store.renew_connector(second, [4; 32]).await.unwrap());
    store.remove(Object::Site(name("hq"))).await.unwrap();
    assert_eq!(store.connectors().await.unwrap(), []);
}

#[tokio::test]
async fn two_machines_can_not_have_one_key() {
    let home = Home::new();
    let store = home.with(&small()).await;
    let site = store.sites().await.unwrap()[0].id;
    let fresh = || ConnectorId(Uuid::new_v4());
    store.enrol_connector(fresh(), site, "east", [1; 32]).await.unwrap();
    let second = store.enrol_connector(fresh(), site, "west", [1; 32]).await;
    assert!(matches!(second, Err(StoreError::Invalid(_))));
}
