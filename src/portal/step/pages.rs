//! The page of each step.

use axum::http::StatusCode;
use axum::response::Response;
use gateway_web::{Html, document};
use secrecy::{ExposeSecret as _, SecretString};

use crate::AppState;
use crate::authn::{Purpose, Step, TotpKey, Unfinished};
use crate::portal::asking::Asking;
use crate::portal::pages::{header, page};
use crate::portal::passkey;

/// The page that asks for what comes next.
pub(super) fn asked(
    status: StatusCode,
    asking: &Asking,
    state: &AppState,
    begun: &Unfinished,
    told: Html,
) -> Response {
    let name = begun.known.name.as_str();
    let (title, main) = match begun.steps.first() {
        Some(Step::Second { app, passkeys }) => {
            let purpose = Purpose::Second(begun.known.user);
            let form = passkey::form(state, "/sign-in/step", "", purpose, passkeys);
            let about = "<p class=\"soft\">Use the passkey that you have registered: touch your \
                 security key, or let your device or phone know you. Who has lost it asks an \
                 administrator.</p>{}";
            let passkey = match passkeys.is_empty() {
                true => Html::default(),
                false => Html::of(about, &[form]),
            };
            let code = app.then(|| code(!passkeys.is_empty())).unwrap_or_default();
            ("Your second factor", Html::all([told, passkey, code]))
        }
        None => ("Your second factor", told),
        Some(Step::Enrol(key)) => {
            ("Set up an authenticator app", offered(key, name, &state.info.domain, told))
        }
        Some(Step::Keep(codes)) => ("Keep your recovery codes", kept(codes)),
        Some(Step::Password) => ("Choose a password", password(name, told)),
    };
    let heading = Html::of("<h1>{}</h1>", &[Html::text(title)]);
    let main = Html::all([heading, main]);
    page(status, document(title, true, header(asking), main))
}

/// `instead`: a passkey does as well.
fn code(instead: bool) -> Html {
    let or = if instead { "Or open" } else { "Open" };
    Html::of(
        "<p class=\"soft\">{} your authenticator app and type the six digits that it shows. \
         Without it, take one of your recovery codes.</p>\
         <form method=\"post\" action=\"/sign-in/step\" autocomplete=\"off\">\
         <label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" required autofocus inputmode=\"text\" spellcheck=\"false\" \
         autocapitalize=\"none\" autocomplete=\"one-time-code\" maxlength=\"32\">\
         <button class=\"wide\">Go on</button></form>",
        &[Html::text(or)],
    )
}

fn offered(key: &TotpKey, name: &str, domain: &str, told: Html) -> Html {
    let picture = crate::qr::of(&key.uri(name, domain)).map(|qr| {
        let parts = [qr.size, qr.size, qr.size, qr.size].map(|n| Html::text(&n.to_string()));
        let [a, b, c, d] = parts;
        Html::of(
            "<p><svg class=\"qr\" role=\"img\" aria-label=\"QR code for your authenticator app\" \
             viewBox=\"0 0 {} {}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{}\" height=\"{}\" fill=\"#fff\"/><path fill=\"#000\" d=\"{}\"/></svg></p>",
            &[a, b, c, d, Html::text(&qr.path)],
        )
    });
    Html::of(
        "{}<p class=\"soft\">This relay asks for a second factor. Photograph this with an \
         authenticator app on your phone, and type the six digits that it then shows.</p>{}\
         <p class=\"small soft\">Or type this key into the app:<br><code>{}</code></p>\
         <form method=\"post\" action=\"/sign-in/step\" autocomplete=\"off\">\
         <label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" required autofocus inputmode=\"numeric\" \
         spellcheck=\"false\" autocomplete=\"one-time-code\" maxlength=\"10\">\
         <button class=\"wide\">Go on</button></form>",
        &[told, picture.unwrap_or_default(), Html::text(&in_groups(&key.base32()))],
    )
}

fn kept(codes: &[SecretString]) -> Html {
    let rows = codes
        .iter()
        .map(|code| Html::of("<li><code>{}</code></li>", &[Html::text(code.expose_secret())]));
    Html::of(
        "<p class=\"soft\">Each of these signs you in once without the app. Print them, or keep them \
         where you keep passwords: they are shown only now.</p><ul class=\"codes\">{}</ul>\
         <form method=\"post\" action=\"/sign-in/step\">\
         <button class=\"wide\">I have kept them</button></form>",
        &[Html::all(rows)],
    )
}

fn password(name: &str, told: Html) -> Html {
    Html::of(
        "{}<p class=\"soft\">You signed in with a one-time password. From now on you sign in with \
         one of your own: 12 characters or more, whatever you like. A few words together are easy \
         to keep in mind.</p>\
         <form method=\"post\" action=\"/sign-in/step\">\
         <input type=\"hidden\" name=\"username\" autocomplete=\"username\" value=\"{}\">\
         <label for=\"new\">New password</label>\
         <input id=\"new\" name=\"new\" type=\"password\" required autofocus minlength=\"12\" \
         maxlength=\"128\" autocomplete=\"new-password\">\
         <label for=\"again\">The same again</label>\
         <input id=\"again\" name=\"again\" type=\"password\" required minlength=\"12\" \
         maxlength=\"128\" autocomplete=\"new-password\">\
         <button class=\"wide\">Go on</button></form>",
        &[told, Html::text(name)],
    )
}

/// Easier to type.
fn in_groups(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}
