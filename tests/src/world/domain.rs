//! A domain: one HTTPS server that answers every request with the bytes that it was told to serve.

use std::sync::{Arc, Mutex};

use sealcare_protocol::Domain;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::Certificates;

/// Serves until dropped.
pub struct ServedDomain {
    /// Its name.
    pub name: Domain,
    body: Arc<Mutex<Vec<u8>>>,
    _server: JoinSet<()>,
}

impl ServedDomain {
    /// Serves nothing yet.
    pub async fn start(certificates: &Certificates) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let body = Arc::new(Mutex::new(Vec::new()));
        let (served, tls) = (body.clone(), certificates.acceptor(&[]));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let body = served.lock().unwrap().clone();
                // Who does not trust the certificate hangs up.
                drop(answer(&tls, socket, &body).await);
            }
        });
        Self { name, body, _server: tasks }
    }

    /// Serves these bytes from now on.
    pub fn serve(&self, bytes: Vec<u8>) {
        *self.body.lock().unwrap() = bytes;
    }
}

async fn answer(tls: &TlsAcceptor, socket: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut stream = tls.accept(socket).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    stream.shutdown().await
}
