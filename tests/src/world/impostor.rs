//! A relay that answers for every organization with a bundle of its own making, and counts what it is given to keep.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sealcare_proto::v1::{
    self as wire,
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    mailbox_service_server::{MailboxService, MailboxServiceServer},
};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status, Streaming,
    codegen::BoxStream,
    transport::{Identity, Server, ServerTlsConfig},
};

use super::Certificates;

/// Serves until dropped.
pub struct Impostor {
    counts: Counts,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Counts {
    bundles: Arc<AtomicUsize>,
    deposits: Arc<AtomicUsize>,
}

impl Impostor {
    pub(crate) async fn start(listen: SocketAddr, certificates: &Certificates, bundle: wire::Signed) -> Self {
        let counts = Counts::default();
        let read = |path| std::fs::read(path).unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(read(&certificates.chain), read(&certificates.key)));
        let router = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(DirectoryServiceServer::new(LyingDirectory { bundle, counts: counts.clone() }))
            .add_service(MailboxServiceServer::new(counts.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move { router.serve(listen).await.unwrap() });
        let knocking = async {
            while tokio::net::TcpStream::connect(listen).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        super::soon("the impostor listens", knocking).await;
        Self { counts, _server: server }
    }

    /// Bundles that it was asked for.
    pub fn bundles(&self) -> usize {
        self.counts.bundles.load(Ordering::SeqCst)
    }

    /// Deposits that it was given.
    pub fn deposits(&self) -> usize {
        self.counts.deposits.load(Ordering::SeqCst)
    }
}

struct LyingDirectory {
    bundle: wire::Signed,
    counts: Counts,
}

type Answer<T> = Result<Response<T>, Status>;

fn refused<T>() -> Answer<T> {
    Err(Status::unimplemented("not a relay"))
}

#[tonic::async_trait]
impl DirectoryService for LyingDirectory {
    async fn fetch_bundle(&self, _: Request<wire::FetchBundleRequest>) -> Answer<wire::FetchBundleResponse> {
        self.counts.bundles.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(wire::FetchBundleResponse { bundle: Some(self.bundle.clone()) }))
    }

    async fn search(&self, _: Request<wire::SearchRequest>) -> Answer<wire::SearchResponse> {
        refused()
    }

    async fn register(&self, _: Request<wire::RegisterRequest>) -> Answer<wire::RegisterResponse> {
        refused()
    }

    async fn put_bundle(&self, _: Request<wire::PutBundleRequest>) -> Answer<wire::PutBundleResponse> {
        refused()
    }
}

#[tonic::async_trait]
impl MailboxService for Counts {
    type DepositStreamStream = BoxStream<wire::DepositStreamResponse>;

    async fn deposit_stream(
        &self,
        _: Request<Streaming<wire::DepositStreamRequest>>,
    ) -> Answer<Self::DepositStreamStream> {
        self.deposits.fetch_add(1, Ordering::SeqCst);
        refused()
    }

    async fn deposit(&self, _: Request<wire::SignedCall>) -> Answer<wire::DepositResponse> {
        self.deposits.fetch_add(1, Ordering::SeqCst);
        refused()
    }

    async fn accept_invitation(
        &self,
        _: Request<wire::SignedCall>,
    ) -> Answer<wire::AcceptInvitationResponse> {
        refused()
    }

    async fn fetch_replies(&self, _: Request<wire::SignedCall>) -> Answer<wire::FetchRepliesResponse> {
        refused()
    }

    async fn grant_status(&self, _: Request<wire::SignedCall>) -> Answer<wire::GrantStatusResponse> {
        refused()
    }

    async fn revoke_grant(&self, _: Request<wire::SignedCall>) -> Answer<wire::RevokeGrantResponse> {
        refused()
    }
}
