//! A notice by mail: to a server that takes what is to be sent (RFC 6409), and says so.

use std::time::SystemTime;

use data_encoding::BASE64;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::Notice;
use crate::config::{MailBy, MailSecurity};
use crate::deliver::{SendError, connect, read, secure};

/// Sends a notice to whom it is for. The server has taken it when it has said so.
pub(super) async fn send(by: &MailBy, notice: &Notice) -> Result<(), SendError> {
    let mut socket = connect(&by.host, by.port).await?;
    match &by.security {
        MailSecurity::Here => {
            greeted(&mut socket).await?;
            converse(&mut socket, by, notice).await
        }
        MailSecurity::Tls(files) => {
            let mut stream = secure(socket, &by.host, files, &[]).await?;
            greeted(&mut stream).await?;
            converse(&mut stream, by, notice).await
        }
        MailSecurity::StartTls(files) => {
            greeted(&mut socket).await?;
            say(&mut socket, &hello(), 250).await?;
            say(&mut socket, "STARTTLS", 220).await?;
            // Nothing is read ahead, so nothing that came before TLS counts after it.
            let mut stream = secure(socket, &by.host, files, &[]).await?;
            converse(&mut stream, by, notice).await
        }
    }
}

/// From the hello to the goodbye (RFC 5321, section 3.3).
async fn converse<S>(stream: &mut S, by: &MailBy, notice: &Notice) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(stream, &hello(), 250).await?;
    if let Some((login, file)) = &by.login {
        let password = read(file)?;
        // RFC 4616: whom for, who, by what.
        let shown = Zeroizing::new(format!("\0{login}\0{}", password.trim()));
        let shown = Zeroizing::new(BASE64.encode(shown.as_bytes()));
        say(stream, &Zeroizing::new(format!("AUTH PLAIN {}", *shown)), 235).await?;
    }
    let to = recipients(by, notice);
    say(stream, &format!("MAIL FROM:<{}>", by.from), 250).await?;
    taken_for(stream, &to).await?;
    say(stream, "DATA", 354).await?;
    say(stream, &format!("{}\r\n.", letter(by, &to, notice, SystemTime::now())), 250).await?;
    // It is taken; how the server says goodbye changes nothing.
    drop(say(stream, "QUIT", 221).await);
    Ok(())
}

/// Names whom the mail is for. One whom the server knows nothing of does not keep it from the others.
async fn taken_for<S>(stream: &mut S, to: &[String]) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut taken, mut refused) = (false, None);
    for one in to {
        match say(stream, &format!("RCPT TO:<{one}>"), 250).await {
            Ok(()) => taken = true,
            Err(error @ SendError::Mail { .. }) => {
                tracing::warn!(to = %one, %error, "The mail server takes nothing for one of a channel");
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if !taken => Err(error),
        Some(_) | None => Ok(()),
    }
}

/// Whoever asked hears of the decision, where their address is known.
fn recipients(by: &MailBy, notice: &Notice) -> Vec<String> {
    let own = by.user_domain.as_ref().map(|domain| format!("{}@{domain}", notice.request.user));
    match (notice.row.event.as_str(), own) {
        ("pending" | "withdrawn", _) | (_, None) => by.to.clone(),
        (_, Some(own)) => vec![own],
    }
}

/// RFC 5322. The body is base64, so none of its lines is long or begins with a dot.
fn letter(by: &MailBy, to: &[String], notice: &Notice, now: SystemTime) -> String {
    let domain = by.from.rsplit('@').next().unwrap_or_default();
    let date = OffsetDateTime::from(now).format(&Rfc2822).unwrap_or_default();
    let text = format!("{}.\n\n{}\n", notice.text(), notice.link);
    let body = BASE64.encode(text.as_bytes());
    let lines: Vec<_> = body.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    let headers = [
        format!("From: {}", by.from),
        format!("To: {}", to.join(",\r\n ")),
        format!("Subject: {}", subject(notice)),
        format!("Date: {date}"),
        format!("Message-ID: <{}@{domain}>", notice.row.id),
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
    ];
    format!("{}\r\n\r\n{}", headers.join("\r\n"), lines.join("\r\n"))
}

/// Of names only, which are plain.
fn subject(notice: &Notice) -> String {
    let (user, application) = (&notice.request.user, &notice.request.application);
    match notice.row.event.as_str() {
        "pending" => format!("{user} asks for {application}"),
        event => format!("{event}: {user} for {application}"),
    }
}

/// A name of ours would be looked up; an address literal is asked of nobody (RFC 5321, section 4.1.3).
fn hello() -> String {
    "EHLO [127.0.0.1]".to_owned()
}

async fn greeted<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), SendError> {
    expect(stream, 220).await
}

async fn say<S>(stream: &mut S, line: &str, wanted: u16) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broke = |source| SendError::Broke { source };
    stream.write_all(line.as_bytes()).await.map_err(broke)?;
    stream.write_all(b"\r\n").await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    expect(stream, wanted).await
}

/// Reads an answer of one line or several (RFC 5321, section 4.2.1), and holds it to its number.
async fn expect<S: AsyncRead + Unpin>(stream: &mut S, wanted: u16) -> Result<(), SendError> {
    let answer = answer(stream).await?;
    match answer.get(..3).and_then(|code| code.parse::<u16>().ok()) {
        // By its first digit alone: 251 is as good as 250 (RFC 5321, section 4.3.2).
        Some(code) if code / 100 == wanted / 100 => Ok(()),
        Some(_) | None => Err(SendError::Mail { answer: access::text::visible(&answer).into() }),
    }
}

/// The last line of an answer.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<String, SendError> {
    let (mut line, mut read) = (Vec::new(), 0);
    loop {
        let byte = stream.read_u8().await.map_err(|source| SendError::Broke { source })?;
        read += 1;
        if read > LONGEST {
            return Err(SendError::Mail { answer: "more than an answer has".to_owned() });
        }
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.as_bytes().get(3) != Some(&b'-') {
            return Ok(text);
        }
        line.clear();
    }
}

/// Bytes of one answer: some dozen lines of 512 (RFC 5321, section 4.5.3.1.5).
const LONGEST: usize = 32 << 10;
