//! Answers, as bytes.

use super::request::{NOT_ALLOWED, Status};
use chrono::Utc;

/// Nothing from elsewhere, no script that is not ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                      style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn begin(Status(code, reason): Status, content_type: &str) -> String {
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    format!(
        "HTTP/1.1 {code} {reason}\r\nDate: {date}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Type: {content_type}\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: {POLICY}\r\n"
    )
}

/// A whole one.
pub(super) fn ok(content_type: &str, body: &str, head: bool) -> Vec<u8> {
    whole(Status(200, "OK"), content_type, body, head, "")
}

/// A status, and its words for a body.
pub(super) fn status(status: Status, head: bool) -> Vec<u8> {
    let more = if status == NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
    whole(status, "text/plain; charset=utf-8", &format!("{}\n", status.1), head, more)
}

fn whole(status: Status, content_type: &str, body: &str, head: bool, more: &str) -> Vec<u8> {
    let begin = begin(status, content_type);
    let body_sent = if head { "" } else { body };
    format!("{begin}{more}Content-Length: {}\r\n\r\n{body_sent}", body.len()).into_bytes()
}

/// The beginning of a stream of server-sent events.
pub(super) fn events() -> Vec<u8> {
    format!("{}\r\n", begin(Status(200, "OK"), "text/event-stream")).into_bytes()
}
