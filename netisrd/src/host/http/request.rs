//! What a client asks for, and nothing that it could mean otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str;

/// Bytes of a request.
pub(super) const REQUEST_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// A request that may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The body is not wanted.
    pub(super) head: bool,
    /// Without a query.
    pub(super) path: String,
    /// What it takes this server for; only HTTP/1.0 may leave that out.
    pub(super) host: Option<String>,
}

impl Request {
    /// Whether it can be meant for a server of these names: a name of somebody else's
    /// that leads here makes a browser show this page to his.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        self.host.as_deref().is_none_or(|host| {
            let name = without_port(host);
            let literal = match name.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
                Some(inner) => inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
                None => name.parse::<Ipv4Addr>().is_ok(),
            };
            let is = |own: &str| own.eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name));
            literal || is("localhost") || names.iter().any(|own| is(own))
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What the bytes are that have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// Not all of a request.
    Partial,
    /// One.
    Request(Request),
    /// None: the status that says so.
    Bad(Status),
}

/// A status that is an answer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16, pub(super) &'static str);

pub(super) const BAD_REQUEST: Status = Status(400, "Bad Request");
pub(super) const NOT_FOUND: Status = Status(404, "Not Found");
pub(super) const NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
pub(super) const TIMEOUT: Status = Status(408, "Request Timeout");
pub(super) const MISDIRECTED: Status = Status(421, "Misdirected Request");
pub(super) const TOO_LONG: Status = Status(431, "Request Header Fields Too Large");
pub(super) const UNAVAILABLE: Status = Status(503, "Service Unavailable");
pub(super) const VERSION: Status = Status(505, "HTTP Version Not Supported");

/// Reads a request. It has no body: whoever says that one follows is refused.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut r = httparse::Request::new(&mut headers);
    match r.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => judge(&r).map_or_else(Parsed::Bad, Parsed::Request),
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_MAX => Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Parsed::Bad(TOO_LONG),
        Err(httparse::Error::Version) => Parsed::Bad(VERSION),
        Err(_) => Parsed::Bad(BAD_REQUEST),
    }
}

fn judge(r: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let all = |name: &'static str| r.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
    let has_body = all("transfer-encoding").next().is_some()
        || all("content-length").any(|h| str::from_utf8(h.value).map(str::trim) != Ok("0"));
    let mut hosts = all("host");
    let host = hosts.next().map(|h| str::from_utf8(h.value).map(str::trim).map_err(|_| BAD_REQUEST));
    let host = host.transpose()?.map(str::to_owned);
    if has_body || hosts.next().is_some() || (host.is_none() && r.version == Some(1)) {
        return Err(BAD_REQUEST);
    }
    let head = match r.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(NOT_ALLOWED),
    };
    let target = r.path.filter(|p| p.starts_with('/')).ok_or(BAD_REQUEST)?;
    let path = target.split('?').next().unwrap_or(target).to_owned();
    Ok(Request { head, path, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Parsed {
        parse(text.as_bytes())
    }

    #[test]
    fn get_and_head_are_understood_and_nothing_else() {
        let wanted = |head, path: &str, host: Option<&str>| {
            Parsed::Request(Request { head, path: path.into(), host: host.map(str::to_owned) })
        };
        let root = || wanted(false, "/", Some("a"));
        assert_eq!(of("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), root());
        assert_eq!(of("HEAD /metrics?x=/y HTTP/1.0\r\n\r\n"), wanted(true, "/metrics", None));
        assert_eq!(of("GET / HTTP/1.1\r\nhost:a \r\nContent-Length: 0\r\n\r\n"), root());
        assert_eq!(of("POST / HTTP/1.1\r\nHost: a\r\n\r\n"), Parsed::Bad(NOT_ALLOWED));
        assert_eq!(of("get / HTTP/1.1\r\nHost: a\r\n\r\n"), Parsed::Bad(NOT_ALLOWED));
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
            "\x16\x03\x01\x02",
        ] {
            assert_eq!(of(bad), Parsed::Bad(BAD_REQUEST), "{bad:?}");
        }
        assert_eq!(of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Parsed::Bad(VERSION));
    }

    #[test]
    fn a_request_is_for_an_address_or_a_name_that_is_ours() {
        let names = ["fw1".to_owned(), "Status.Example.org".to_owned()];
        let is_for = |host: Option<&str>| {
            Request { head: false, path: "/".into(), host: host.map(str::to_owned) }.is_for(&names)
        };
        for ours in [
            "127.0.0.1",
            "127.0.0.1:9112",
            "[::1]",
            "[2001:db8::1]:80",
            "localhost",
            "LOCALHOST.:9112",
            "fw1:1",
            "status.example.org",
        ] {
            assert!(is_for(Some(ours)), "{ours}");
        }
        for other in [
            "",
            ":80",
            "evil.example",
            "evil.example:9112",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xfw1",
            "fw1.evil.example",
            "[::1].evil.example",
            "[evil]",
            "[::1",
            "::1",
            "fw1:x",
            "1.2.3",
        ] {
            assert!(!is_for(Some(other)), "{other}");
        }
        assert!(is_for(None));
    }

    #[test]
    fn what_is_not_complete_may_become_so_up_to_a_bound() {
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        (0..whole.len()).for_each(|n| assert_eq!(parse(&whole[..n]), Parsed::Partial, "{n}"));
        let long = format!("GET / HTTP/1.1\r\nHost: {}", "a".repeat(REQUEST_MAX));
        assert_eq!(of(&long[..REQUEST_MAX - 1]), Parsed::Partial);
        assert_eq!(of(&long[..REQUEST_MAX]), Parsed::Bad(TOO_LONG));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        assert_eq!(of(&many), Parsed::Bad(TOO_LONG));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for _ in 0..20_000 {
            let mut bytes = b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec();
            for _ in 0..next() % 4 {
                let at = next() as usize % bytes.len();
                bytes[at] = next() as u8;
            }
            parse(&bytes);
        }
    }
}
