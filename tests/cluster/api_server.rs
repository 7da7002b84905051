//! A real API server with its own etcd, either shared by all tests of the process or used by one
//! test.
//!
//! There is no controller manager, scheduler or kubelet: pods stay Pending, deleted namespaces
//! remain, and Services have no endpoints. The ServiceAccount admission plugin is disabled, so that
//! pods can be created in a new namespace immediately.

use crate::binaries::{Binaries, binaries};
use crate::child_process::{ChildProcess, child_command};
use crate::drydock_process::certs;
use crate::identity::{Identity, runner_role};
use crate::raw_requests::{self, Answer};
use crate::wait::{POLL_INTERVAL, TIMEOUT};
use axum::http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A running API server. Its processes and files are removed when it is dropped or when the test
/// process ends.
pub(crate) struct ApiServer {
    // Fields are dropped in this order: the API server must end before etcd.
    server: Option<ChildProcess>,
    /// The etcd that replaced the first one.
    later_etcd: Option<ChildProcess>,
    /// The first etcd. The directory is removed when it ends.
    etcd: ChildProcess,
    directory: TempDir,
    port: u16,
    etcd_port: u16,
    peer_port: u16,
    /// Additional flags for kube-apiserver.
    flags: Vec<String>,
}

/// The output of `kubectl`.
#[derive(Debug)]
pub(crate) struct Kubectl {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Kubectl {
    /// Returns stdout; asserts success without a warning.
    #[track_caller]
    pub(crate) fn printed(self) -> String {
        assert!(
            self.code == Some(0) && self.stderr.is_empty(),
            "kubectl: {:?}: {}{}",
            self.code,
            self.stderr,
            self.stdout
        );
        self.stdout
    }
}

/// Returns the API server that all tests of this process share. Tests must not stop it, and must
/// create namespaces in a scope ([`ApiServer::scope`]).
pub(crate) async fn shared() -> &'static ApiServer {
    static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
    SHARED.get_or_init(ApiServer::exclusive).await
}

impl ApiServer {
    /// Starts an API server for one test, which may stop it and create cluster-scoped objects.
    /// Starting takes about five seconds.
    pub(crate) async fn exclusive() -> Self {
        Self::exclusive_with(|_| Vec::new()).await
    }

    /// Starts an API server with additional flags. `prepare` writes the files that the flags name
    /// to the server's directory, and returns the flags.
    pub(crate) async fn exclusive_with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        // Fails here if a program is missing, before files and processes are created.
        let parts = binaries();
        let directory = TempDir::with_prefix("drydock-apiserver-").unwrap();
        let [port, etcd_port, peer_port] = std::array::from_fn(|_| free_port());
        let etcd = etcd(parts, directory.path(), etcd_port, peer_port, true);
        let flags = prepare(directory.path());
        let mut new = Self {
            server: None,
            later_etcd: None,
            etcd,
            directory,
            port,
            etcd_port,
            peer_port,
            flags,
        };
        new.write_files();
        new.start().await;
        let admin = new.client(Identity::Admin).await;
        for (path, object) in runner_role() {
            raw_requests::apply(&admin, path, &object).await.object();
        }
        new
    }

    fn write_files(&self) {
        // The API server connects to itself by the name kubernetes.default.svc.
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
        certs(self.directory.path(), &names);
        let write = |name: &str, content: &str| fs::write(self.path(name), content).unwrap();
        write("tokens.csv", &Identity::tokens());
        let authority = self.path("ca.crt").display().to_string();
        for identity in Identity::ALL {
            let kubeconfig = identity.kubeconfig(&self.url(), &authority);
            write(&identity.file(), &kubeconfig.to_string());
        }
    }

    /// Starts the API server again with the same port and etcd, and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        let flag = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let log = File::create(self.path("kube-apiserver.log")).unwrap();
        let mut command = child_command(&binaries().kube_apiserver, None);
        command
            .arg(format!(
                "--etcd-servers=http://127.0.0.1:{}",
                self.etcd_port
            ))
            .arg(format!("--secure-port={}", self.port))
            .arg(flag("cert-dir", "certs"))
            .arg(flag("tls-cert-file", "tls.crt"))
            .arg(flag("tls-private-key-file", "tls.key"))
            .arg(flag("service-account-key-file", "tls.crt"))
            .arg(flag("service-account-signing-key-file", "tls.key"))
            .arg(flag("token-auth-file", "tokens.csv"))
            .args([
                "--bind-address=127.0.0.1",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
                "--allow-privileged=true",
            ])
            .args(&self.flags)
            .stderr(log);
        let server = self.server.insert(ChildProcess::spawn(command));
        let deadline = Instant::now() + 2 * TIMEOUT;
        let client = client(self.directory.path(), Identity::Admin).await;
        loop {
            let ended = server.end();
            let answer = raw_requests::try_call(&client, Method::GET, "/readyz", None).await;
            if matches!(answer, Ok(Answer { status: 200, .. })) {
                return;
            }
            if ended.is_some() || Instant::now() > deadline {
                let last_words = ["etcd.log", "kube-apiserver.log"]
                    .map(|log| last_lines(&self.directory.path().join(log)));
                panic!(
                    "the API server did not start (exit status {ended:?}, /readyz {answer:?}): {}",
                    last_words.join("\n")
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Kills the API server but not etcd, so after [`ApiServer::start`] all objects exist again.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Copies etcd's data, with etcd and the API server stopped for that time.
    pub(crate) async fn back_up(&mut self) {
        self.with_etcd_stopped("rm -rf backup && cp -a etcd backup")
            .await;
    }

    /// Restores etcd's data from the copy, so resource versions decrease.
    pub(crate) async fn restore(&mut self) {
        self.with_etcd_stopped("rm -rf etcd && cp -a backup etcd")
            .await;
    }

    /// Raises etcd's NOSPACE alarm, so it refuses writes as if it exceeded its quota.
    pub(crate) fn fill_etcd(&self) {
        self.etcd_alarm("ACTIVATE");
    }

    /// Clears the NOSPACE alarm, so etcd accepts writes again.
    pub(crate) fn empty_etcd(&self) {
        self.etcd_alarm("DEACTIVATE");
    }

    fn etcd_alarm(&self, action: &str) {
        let body = json!({"action": action, "alarm": "NOSPACE", "memberID": "1"}).to_string();
        let head = "POST /v3/maintenance/alarm HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n";
        let mut etcd = TcpStream::connect(("127.0.0.1", self.etcd_port)).unwrap();
        write!(etcd, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        etcd.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    async fn with_etcd_stopped(&mut self, script: &str) {
        self.stop();
        if self.later_etcd.take().is_none() {
            self.etcd.signal("KILL");
        }
        let address = ("127.0.0.1", self.etcd_port);
        while TcpStream::connect(address).is_ok() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let mut shell = Command::new("sh");
        let shell = shell
            .args(["-ec", script])
            .current_dir(self.directory.path());
        assert!(shell.status().unwrap().success(), "{script}");
        let (directory, ports) = (self.directory.path(), (self.etcd_port, self.peer_port));
        self.later_etcd = Some(etcd(binaries(), directory, ports.0, ports.1, false));
        self.start().await;
    }

    /// Returns the process ID of kube-apiserver.
    #[allow(dead_code, reason = "the benchmark uses it to read CPU time")]
    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().pid()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Returns the path of the kubeconfig file for an identity.
    pub(crate) fn kubeconfig(&self, identity: Identity) -> PathBuf {
        self.path(&identity.file())
    }

    /// Creates a client. Each test needs its own, because a client belongs to the test's runtime.
    pub(crate) async fn client(&self, identity: Identity) -> Client {
        client(self.directory.path(), identity).await
    }

    /// Runs `kubectl` as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Kubectl {
        self.kubectl_as(Identity::Admin, arguments)
    }

    /// Runs `kubectl` as an identity.
    pub(crate) fn kubectl_as(&self, identity: Identity, arguments: &[&str]) -> Kubectl {
        let output = Command::new(&binaries().kubectl)
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig(identity))
            // kubectl writes its cache and preferences there.
            .env("HOME", self.directory.path())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Kubectl {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

async fn client(directory: &Path, identity: Identity) -> Client {
    // kube uses the default crypto provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(directory.join(identity.file())).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    // A proxy that the environment configures cannot reach this API server.
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

fn etcd(
    parts: &Binaries,
    directory: &Path,
    port: u16,
    peer_port: u16,
    is_first: bool,
) -> ChildProcess {
    let client_url = format!("http://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    let mut command = child_command(&parts.etcd, is_first.then_some(directory));
    command
        .arg("--data-dir")
        .arg(directory.join("etcd"))
        .args(["--listen-client-urls", &client_url])
        .args(["--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url])
        .args(["--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}")])
        // The data need not survive a crash of the machine.
        .args(["--unsafe-no-fsync", "--log-level", "error"]);
    command.stderr(File::create(directory.join("etcd.log")).unwrap());
    ChildProcess::spawn(command)
}

/// Returns a free port outside the kernel's ephemeral range, so that it stays free during a
/// restart.
pub(crate) fn free_port() -> u16 {
    let range = 20_000..32_000;
    let number = |attempt: u16| {
        let hash = RandomState::new().hash_one(attempt);
        range.start + u16::try_from(hash % u64::from(range.end - range.start)).unwrap()
    };
    (0..1000)
        .map(number)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no port is free")
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(20)..).unwrap();
    format!("{}:\n{}", log.display(), last.join("\n"))
}
