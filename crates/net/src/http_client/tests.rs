//! Against servers that follow a script.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONTENT: Get = Get { purpose: Purpose::Content, range: None, family: None };
const TRACKER: Get = Get { purpose: Purpose::Tracker, range: None, family: None };

struct Script {
    listener: TcpListener,
    url: String,
}

impl Script {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        Self { listener, url }
    }

    fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.url).parse().expect("a URL")
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.expect("a connection").0
    }

    /// Answers one request on a connection of its own.
    async fn answer(&self, response: &str) -> String {
        let mut stream = self.accept().await;
        let request = head(&mut stream).await;
        stream.write_all(response.as_bytes()).await.expect("written");
        request
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a byte"));
    }
    String::from_utf8(head).expect("text")
}

fn client() -> Client {
    Client::new(Dialer::default())
}

#[tokio::test]
async fn ranges_are_asked_for_and_connections_used_again() {
    let (script, client) = (Script::new().await, client());
    let server = async {
        let mut stream = script.accept().await;
        for range in ["bytes=5-9", "bytes=10-10"] {
            let request = head(&mut stream).await;
            assert!(request.starts_with("GET /a%20b/c HTTP/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("range: {range}\r\n")), "{request}");
            let response = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/100\r\n\
                            Content-Length: 5\r\n\r\nabcde";
            stream.write_all(response.as_bytes()).await.expect("written");
        }
    };
    let asker = async {
        for range in [(5, 5), (10, 1)] {
            let get = Get { range: Some(range), ..CONTENT };
            let response = client.get(&script.url("/a b/c"), get).await.expect("a response");
            assert_eq!(response.status, StatusCode::PARTIAL_CONTENT);
            assert_eq!(response.range, Some((5, Some(100))));
            assert_eq!(response.body_len(), Some(5));
            assert_eq!(response.bytes(5).await.expect("a body"), b"abcde");
        }
    };
    tokio::join!(server, asker);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let (script, client) = (Script::new().await, client());
    let server = async {
        for _ in 0..2 {
            script.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
        }
    };
    let asker = async {
        for _ in 0..2 {
            let response = client.get(&script.url("/"), CONTENT).await.expect("a response");
            assert_eq!(response.bytes(1).await.expect("a body"), b"x");
        }
    };
    tokio::join!(server, asker);
}

#[tokio::test]
async fn tr_02_broken_chunks_are_errors() {
    for chunks in [
        "FFFFFFFFFFFFFFFF\r\nabc",
        "FFFFFFFFFFFFFFFFF\r\nabc",
        "-1\r\nabc\r\n0\r\n\r\n",
        "3abc",
        "3\r\nabcX\r\n0\r\n\r\n",
        "\r\nabc",
    ] {
        let (script, client) = (Script::new().await, client());
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let asker = async {
            let response = client.get(&script.url("/"), CONTENT).await.expect("a head");
            response.bytes(1_000).await
        };
        let url = script.url("/");
        let (_, body) = tokio::join!(script.answer(&response), asker);
        assert!(matches!(body, Err(HttpError::Protocol(_))), "{chunks:?} at {url}: {body:?}");
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_errors() {
    for head in ["Content-Length: 6\r\n", "Connection: close\r\n"] {
        let (script, client) = (Script::new().await, client());
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\nabcdef");
        let asker =
            async { client.get(&script.url("/"), CONTENT).await.expect("a head").bytes(5).await };
        let (_, body) = tokio::join!(script.answer(&response), asker);
        assert!(matches!(body, Err(HttpError::TooLong { limit: 5 })), "{body:?}");
    }
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_followed() {
    let (script, client) = (Script::new().await, client());
    let server = async {
        script.answer(&redirect("/there")).await;
        let request = script.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
        assert!(request.starts_with("GET /there "), "{request}");
    };
    let url = script.url("/here");
    let ((), response) = tokio::join!(server, client.get(&url, CONTENT));
    let response = response.expect("a response");
    assert_eq!(response.url.path(), "/there");
    assert_eq!(response.bytes(1).await.expect("a body"), b"x");
}

#[tokio::test]
async fn tr_05_redirect_loops_end() {
    let (script, client) = (Script::new().await, client());
    let server = async {
        for _ in 0..=MAX_REDIRECTS {
            script.answer(&redirect("/")).await;
        }
    };
    let url = script.url("/");
    let ((), response) = tokio::join!(server, client.get(&url, CONTENT));
    let refused = response.err().expect("no response");
    assert!(
        matches!(&refused, HttpError::Refused { refused: Refused::TooManyRedirects, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn tr_05_redirects_lead_nowhere_else() {
    for (location, get) in [
        ("file:///etc/passwd", CONTENT),
        ("ftp://e.example/x", CONTENT),
        ("http://169.254.169.254/latest", CONTENT),
        ("http://[::ffff:169.254.169.254]/announce", TRACKER),
        ("/flushall", TRACKER),
        ("udp://127.0.0.1:1/announce", TRACKER),
    ] {
        let (script, client) = (Script::new().await, client());
        let url = script.url("/announce");
        let response = redirect(location);
        let (_, refused) = tokio::join!(script.answer(&response), client.get(&url, get));
        let refused = refused.err().expect("no response");
        assert!(
            matches!(&refused, HttpError::Refused { .. } | HttpError::Url(_)),
            "{location}: {refused}"
        );
    }
}

#[tokio::test]
async fn tr_08_certificates_that_nobody_vouches_for_are_refused() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    // With the right root it works, so that it is the certificate which is refused without.
    let trusting = Client::with_roots(Dialer::default(), roots);
    for (client, name, trusted) in [
        (trusting.clone(), "127.0.0.1", true),
        (trusting, "localhost", false),
        (client(), "127.0.0.1", false),
    ] {
        let script = Script::new().await;
        let port = script.listener.local_addr().expect("its address").port();
        let url: Url = format!("https://{name}:{port}/announce").parse().expect("a URL");
        let server = async {
            let stream = script.accept().await;
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            // Of TLS 1.3 the server's part may be done before the client refuses.
            let mut one = [0];
            if stream.read(&mut one).await.is_ok_and(|len| len == 1) {
                head(&mut stream).await;
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
                stream.write_all(response.as_bytes()).await.expect("written");
            }
        };
        let get = Get { family: Some(Family::V4), ..TRACKER };
        let ((), response) = tokio::join!(server, client.get(&url, get));
        assert_eq!(response.is_ok(), trusted, "{name}: {:?}", response.err());
        if let Err(error) = response {
            assert!(matches!(error, HttpError::Connect { .. }), "{error}");
        }
    }
}
