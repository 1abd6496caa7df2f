//! Every operation of the API's description has a command, but for those that are not for people.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn every_operation_for_admins_has_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let [key, document] = ["key.pub", "access.toml"].map(|name| dir.path().join(name));
    fs::write(&key, "ssh-ed25519 AAAA robot\n").unwrap();
    fs::write(&document, "[[site]]\nname = \"hq\"\n").unwrap();
    let operations = operations();
    for (operation, command) in ADMIN {
        let command = command
            .replace("KEY", &key.display().to_string())
            .replace("DOCUMENT", &document.display().to_string())
            .replace("ID", "2f1d9a64-7d5e-4a76-9d39-0b7c4c9c9a51");
        let (method, template) = &operations.iter().find(|(id, _)| id == operation).unwrap().1;
        // What commands make of the answers is tested elsewhere: here they only have to ask.
        let run = run(&command, [object(operation), object(operation), object(operation)]).await;
        let asks = |(asked, path, _): &(Method, String, _)| {
            asked.as_str() == method && fits(template, path)
        };
        assert!(run.asked.iter().any(asks), "{operation}: {:?}", run.asked);
    }
}

#[test]
fn no_operation_is_forgotten() {
    let there: BTreeSet<String> = operations().into_iter().map(|(id, _)| id).collect();
    let told = ADMIN.iter().map(|(operation, _)| *operation).chain(ELSEWHERE);
    let told: BTreeSet<String> = told.map(str::to_owned).collect();
    assert_eq!(there, told);
}

type Operation = (String, (String, String));

/// Method and path of each operation, by its id.
fn operations() -> Vec<Operation> {
    let document = include_str!("../../../../../docs/openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let of = |(path, methods): (&String, &Value)| -> Vec<Operation> {
        let methods = methods.as_object().unwrap().iter();
        let named = methods.filter_map(|(method, operation)| {
            let id = operation["operationId"].as_str()?.to_owned();
            Some((id, (method.to_uppercase(), path.clone())))
        });
        named.collect()
    };
    paths.flat_map(of).collect()
}

/// Whether a path is the template's, with something for each of its parameters.
fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, given)| part == given || part.starts_with('{'))
}

/// An object as `set` reads it before it changes it; anything will do for other commands.
fn object(operation: &str) -> Value {
    match operation {
        "changeApplication" => {
            json!({ "name": "web1", "site": "hq", "kind": "ssh", "address": "web1:22" })
        }
        "changeGrant" => json!({ "user": "alice", "application": "web1.hq" }),
        "changeGroup" | "changeUser" => json!({ "name": "dba" }),
        "getConnector" => json!({ "items": [] }),
        _ => json!({}),
    }
}

const ADMIN: &[(&str, &str)] = &[
    ("addApplication", "app add web1 --site hq --kind ssh --address web1:22"),
    ("addGrant", "grant add --user alice --application web1"),
    ("addGroup", "group add dba"),
    ("addProvisioner", "provisioner add entra"),
    ("addSite", "site add hq"),
    ("addSshKey", "user key add robot KEY"),
    ("addUser", "user add alice"),
    ("apply", "apply -f DOCUMENT"),
    ("approveRequest", "requests approve ID"),
    ("changeApplication", "app set web1 --address web2:22"),
    ("changeGrant", "grant set ID --idle 30m"),
    ("changeGroup", "group set dba --add alice"),
    ("changeSettings", "settings set ssh_key_days=30"),
    ("changeUser", "user set alice --admin yes"),
    ("checkApplication", "app check web1"),
    ("denyRequest", "requests deny ID"),
    ("disableUser", "user disable alice"),
    ("enableUser", "user enable alice"),
    ("endSignIn", "sign-in end ID"),
    ("examineConnector", "connector doctor ID --again"),
    ("export", "export"),
    ("forgetHostKey", "app forget-host-key web1"),
    ("getApplication", "app show web1"),
    ("getConnector", "connector show ID"),
    ("getConnectorDoctor", "connector doctor ID"),
    ("getGrant", "grant show ID"),
    ("getGroup", "group show dba"),
    ("getHostKey", "app host-key web1"),
    ("getSettings", "settings show"),
    ("getSshCa", "ssh-ca"),
    ("getSite", "site show hq"),
    ("getSignInMethods", "user sign-in-methods alice"),
    ("getUser", "user show alice"),
    ("issueJoinToken", "site join-token hq"),
    ("issueToken", "token issue --user alice --application web1"),
    ("killSession", "session kill ID"),
    ("listAgents", "agents ls"),
    ("listApplications", "app ls"),
    ("listAudit", "audit ls"),
    ("listAuditDestinations", "audit destinations"),
    ("listCommands", "session commands ID"),
    ("listConnectors", "connector ls"),
    ("listDirectories", "provisioner ldap"),
    ("listEndedSessions", "session ls --ended"),
    ("listGrants", "grant ls"),
    ("listGroups", "group ls"),
    ("listNoticeChannels", "requests channels"),
    ("listProvisioners", "provisioner ls"),
    ("listRequests", "requests ls"),
    ("listSessions", "session ls"),
    ("listSignIns", "sign-in ls"),
    ("listSites", "site ls"),
    ("listSshKeys", "user key ls"),
    ("listStatements", "query ls"),
    ("listTokens", "token ls"),
    ("listUsers", "user ls"),
    ("listWebRequests", "web log"),
    ("listCertificates", "tls ls"),
    ("removeAgent", "agents rm ID"),
    ("removeApplication", "app rm web1"),
    ("removeConnector", "connector rm ID"),
    ("removeGrant", "grant rm ID"),
    ("removeGroup", "group rm dba"),
    ("removePassword", "user password alice --remove"),
    ("removeProvisioner", "provisioner rm entra"),
    ("removeSecondFactor", "user reset-second-factor alice"),
    ("removeSite", "site rm hq"),
    ("removeSshKey", "user key rm SHA256:abc"),
    ("removeUser", "user rm alice"),
    ("resetPassword", "user password alice"),
    ("revokeRequest", "requests revoke ID"),
    ("revokeToken", "token revoke abcdefgh"),
    ("revokeTokens", "token revoke --user alice"),
    ("searchRecordings", "recording search panic"),
    ("showRecording", "session recording ID"),
    ("verifyAudit", "audit verify"),
    ("why", "why alice web1"),
];

/// Not of `adit admin`: this list only gets shorter.
const ELSEWHERE: [&str; 45] = [
    // For machines and monitors.
    "health",
    "healthz",
    "info",
    "join",
    "keySet",
    "login",
    "openapi",
    // `adit login --browser`.
    "askDeviceLogin",
    "pollDeviceLogin",
    // For oneself: `adit status`, `ls`, `token`, `rdp`, `key`, `ssh-cert`, `request`, `requests`, `sign-in`,
    // `sign-ins`, `password`, `sessions`, `logout`.
    "addMySshKey",
    "askForAccess",
    "changeMyPassword",
    "endMySession",
    "endMySignIn",
    "getMySignInMethods",
    "issueMySignInCode",
    "issueMyToken",
    "listMyApplications",
    "listMyRequests",
    "listMySessions",
    "listMySignIns",
    "listMySshKeys",
    "listMyTokens",
    "logout",
    "makeMyRdpFile",
    "makeMyRdpLogin",
    "me",
    // A page's own; people use `ssh` and `adit ssh`.
    "openTerminal",
    "openDesktop",
    "getDesktop",
    "carryDesktop",
    "playDesktop",
    "steerPlayback",
    "removeMySshKey",
    "revokeMyToken",
    "signMySshKey",
    "withdrawRequest",
    // For oneself, in the portal: what a picture is photographed for.
    "offerTotp",
    "addMyPasskey",
    "offerPasskey",
    "removeMyPasskey",
    "removeMyTotp",
    "renewMyRecoveryCodes",
    "takeTotp",
    // `session export` asks for the same records by `listAudit`, a page at a time.
    "listSessionEvents",
];
