//! Reconciles the Secret, the `caBundle` and the leaf: reads the Secret and the webhook
//! configuration, writes the changes that are due, and signs the leaf.

use super::Settings;
use super::ca_bundle::{TrustHistory, WebhookBundles};
use super::leaf::signer;
use super::plan::{Evidence, Observations, Step, plan};
use super::secret::{CaSecret, Data, MAX_AUTHORITIES};
use crate::cluster::client::NoAnswer;
use crate::cluster::error::{LogOnce, describe};
use crate::names::FIELD_MANAGER;
use crate::pki::authority::AuthorityError;
use crate::pki::leaf::Leaf;
use crate::telemetry::metrics::{CertificateEvent, Metrics, WrittenObject};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// Timeout of all calls of one reconciliation together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an overwritten `caBundle` counts as resolved, if no other client has changed it
/// again.
const RESOLVED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The result of a reconciliation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Unchanged,
    Wrote,
    /// The reconciliation failed, or another client wrote first.
    Failed,
}

/// An error that ends a reconciliation.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0} was changed by another client at the same time")]
    Conflict(String),
    #[error("{0}; drydock retries")]
    Failed(String),
    #[error("{0:#}")]
    Authority(#[from] AuthorityError),
}

/// The state of a replica between reconciliations.
pub(super) struct Reconciler {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: watch::Sender<Option<Leaf>>,
    /// The last content of the Secret that was read or written. A deleted Secret is restored from
    /// it, and its authorities sign during an outage of the API server.
    last: Option<CaSecret>,
    /// The content that the Secret had when drydock failed to write it. Its authorities can sign a
    /// leaf, but drydock does not write them to the `caBundle`.
    unwritten: Option<CaSecret>,
    trust: TrustHistory,
    serving: Option<Leaf>,
    log: LogOnce,
    /// The last bundle that all webhooks contained.
    in_place: Option<String>,
    /// When drydock last replaced a `caBundle` that another client had changed.
    overwritten_at: Option<Instant>,
}

impl Reconciler {
    pub(super) fn new(
        client: Client,
        settings: Settings,
        metrics: Arc<Metrics>,
        issued: watch::Sender<Option<Leaf>>,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Api::all(client),
            settings,
            metrics,
            issued,
            last: None,
            unwritten: None,
            trust: TrustHistory::default(),
            serving: None,
            log: LogOnce::default(),
            in_place: None,
            overwritten_at: None,
        }
    }

    /// Reconciles once and logs a failure. A leaf that is due is signed even after a failure.
    pub(super) async fn reconcile(&mut self) -> Outcome {
        let reconciled = timeout(TIMEOUT, self.reconcile_objects()).await;
        let reconciled =
            reconciled.unwrap_or_else(|_| Err(Problem::Failed(NoAnswer(TIMEOUT).to_string())));
        let signed = self.renew_leaf().map_err(Problem::from);
        self.withdraw_invalid_leaf();
        match reconciled.and_then(|wrote| signed.map(|()| wrote)) {
            Ok(wrote) => {
                self.log.set("reconcile", None);
                match wrote {
                    true => Outcome::Wrote,
                    false => Outcome::Unchanged,
                }
            }
            Err(problem @ Problem::Conflict(_)) => {
                tracing::debug!("{problem}; reconciling again");
                Outcome::Failed
            }
            Err(problem) => {
                self.log.set("reconcile", Some(problem.to_string()));
                Outcome::Failed
            }
        }
    }

    /// Reconciles the Secret and the `caBundle`; returns whether drydock wrote one of them.
    async fn reconcile_objects(&mut self) -> Result<bool, Problem> {
        // The configuration is read first, so that the Secret is at least as new as the `caBundle`.
        // The write below fails if the configuration has changed since this read.
        let name = &self.settings.configuration;
        let configuration = self.configurations.get_opt(name).await;
        let configuration = configuration.map_err(failed("read", &self.configuration_name()))?;
        let bundles = WebhookBundles::of(configuration.as_ref());
        let secret = self.secrets.get_opt(&self.settings.secret).await;
        let secret = secret.map_err(failed("read", &self.secret_name()))?;
        self.trust
            .record(&bundles, self.settings.clock.now().monotonic);
        let (wrote_secret, problem) = self.reconcile_secret(secret, &bundles).await?;
        let wrote_bundle = self.reconcile_bundle(&bundles).await?;
        problem.map_or(Ok(wrote_secret || wrote_bundle), Err)
    }

    /// Returns whether there is a leaf to serve.
    pub(super) fn is_serving(&self) -> bool {
        self.issued.borrow().is_some()
    }

    fn secret_name(&self) -> String {
        format!(
            "secret {}/{}",
            self.settings.namespace, self.settings.secret
        )
    }

    fn configuration_name(&self) -> String {
        let name = &self.settings.configuration;
        format!("mutatingwebhookconfiguration {name}")
    }

    /// Reconciles the Secret; returns whether drydock wrote it.
    ///
    /// If a rotation step cannot be written, returns `Ok` with the problem, and the reconciliation
    /// continues with the Secret that was read.
    async fn reconcile_secret(
        &mut self,
        secret: Option<Secret>,
        bundles: &WebhookBundles,
    ) -> Result<(bool, Option<Problem>), Problem> {
        let read = secret.as_ref().map(|secret| self.read(secret));
        let now = self.settings.clock.api_server_time();
        let own = self.serving.as_ref();
        let own = own.map(|leaf| leaf.authority.certificate());
        let evidence = Evidence {
            secret: read.as_ref(),
            last: self.last.as_ref(),
            own,
            bundles,
        };
        let observed = Observations {
            now,
            in_use: &evidence.in_use(now),
            own,
            is_changed_by_others: evidence.is_changed_by_others(),
            trust: &self.trust,
            lifetimes: self.settings.lifetimes,
        };
        // A deleted Secret is restored with its last content.
        let found = read.clone().or_else(|| self.last.clone());
        let (mut content, steps) = plan(found.unwrap_or_default(), &observed)?;
        if !steps.is_empty() {
            let last = self.last.as_ref().and_then(|last| last.changed);
            content.set_changed(last, now);
        }
        let is_write_due = secret.is_none() || !steps.is_empty();
        let written = match is_write_due {
            true => self.write(secret, &content).await,
            false => Ok(()),
        };
        let is_rotation = |step| matches!(step, &Step::Publish | &Step::Promote | &Step::Discard);
        match (written, read) {
            (Ok(()), _) => {
                self.report(&content, &steps);
                self.last = Some(content);
                Ok((is_write_due, None))
            }
            // The authorities that were read stay in use until the step can be written.
            (Err(problem), Some(read)) if steps.iter().all(is_rotation) => {
                self.report(&read, &[]);
                self.last = Some(read);
                Ok((false, Some(problem)))
            }
            (Err(problem), read) => {
                self.unwritten = read;
                Err(problem)
            }
        }
    }

    fn read(&mut self, secret: &Secret) -> CaSecret {
        let data = secret.data.as_ref();
        let (content, problems) = CaSecret::read(data.unwrap_or(&Data::new()));
        let (name, problems) = (self.secret_name(), problems.join("; "));
        let problem = format!("{name} has unreadable fields, which drydock ignores: {problems}");
        self.log
            .set("unreadable", (!problems.is_empty()).then_some(problem));
        content
    }

    fn report(&mut self, content: &CaSecret, steps: &[Step]) {
        let trusted = content.trusted();
        for step in steps {
            self.metrics.certificate_event(step.event());
            tracing::info!(
                change = step.event().name(),
                ?trusted,
                "authorities changed"
            );
        }
        if let Some(current) = &content.current {
            let expires = current.certificate().expires();
            self.metrics.ca_expiry_timestamp.set(expires.as_second());
        }
        let problem = format!(
            "the maximum of {MAX_AUTHORITIES} trusted authorities is reached; check whether the clocks of the nodes differ"
        );
        let is_crowded = trusted.len() >= MAX_AUTHORITIES;
        self.log.set("crowded", is_crowded.then_some(problem));
    }

    /// Writes the Secret, unless its resourceVersion has changed since it was read.
    ///
    /// A missing Secret is created by server-side apply, because RBAC cannot restrict POST to a
    /// resource name. If another replica has created it in the meantime, the apply fails with a
    /// conflict, because each replica is a different field manager and does not use force.
    async fn write(&self, found: Option<Secret>, content: &CaSecret) -> Result<(), Problem> {
        self.check_clock()?;
        let (name, replica) = (&self.settings.secret, &self.settings.replica);
        let is_new = found.is_none();
        let mut secret = found.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.settings.namespace.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        });
        content.write(secret.data.get_or_insert_default());
        let written = if is_new {
            let manager = PatchParams::apply(replica);
            let apply = Patch::Apply(&secret);
            self.secrets.patch(name, &manager, &apply).await
        } else {
            let params = PostParams {
                field_manager: Some(replica.clone()),
                ..PostParams::default()
            };
            self.secrets.replace(name, &params, &secret).await
        };
        let problem = |error| self.write_problem(WrittenObject::Secret, &self.secret_name(), error);
        written.map(drop).map_err(problem)
    }

    /// Fails if the clocks of the node and of the API server disagree. A replica with a wrong clock
    /// could take valid authorities for expired ones, so it must not write.
    fn check_clock(&self) -> Result<(), Problem> {
        let disagreement = self.settings.clock.disagreement();
        disagreement.map_or(Ok(()), |disagreement| {
            Err(Problem::Failed(format!(
                "{disagreement}, so this replica writes neither the Secret nor the caBundle"
            )))
        })
    }

    /// Returns the problem of a failed write, and counts it unless it is a conflict.
    fn write_problem(&self, object: WrittenObject, name: &str, error: kube::Error) -> Problem {
        let problem = failed("write", name)(error);
        if let Problem::Failed(_) = problem {
            self.metrics.write_refused(object);
        }
        problem
    }

    async fn reconcile_bundle(&mut self, bundles: &WebhookBundles) -> Result<bool, Problem> {
        let configuration = self.configuration_name();
        let problem = format!(
            "waiting until {configuration} exists and contains drydock's webhooks; until then the API server does not call drydock"
        );
        self.log
            .set("waiting", bundles.is_empty().then_some(problem));
        let bundle = self.last.as_ref().map(CaSecret::bundle);
        let Some(bundle) = bundle.filter(|_| !bundles.is_empty()) else {
            return Ok(false);
        };
        let now = self.settings.clock.now().monotonic;
        if !bundles.differs_from(&bundle) {
            self.in_place = Some(bundle);
            let is_resolved =
                |at: &mut Instant| now.saturating_duration_since(*at) >= RESOLVED_AFTER;
            if self.overwritten_at.take_if(is_resolved).is_some() {
                self.log.set("overwritten", None);
            }
            return Ok(false);
        }
        // A replica changes the bundle only after a change of the Secret. If the Secret is
        // unchanged, another client has changed the bundle.
        let is_overwritten = self.in_place.as_ref() == Some(&bundle);
        self.check_clock()?;
        let apply = Patch::Apply(bundles.patch(&bundle));
        let manager = PatchParams::apply(FIELD_MANAGER).force();
        let written = self
            .configurations
            .patch(&self.settings.configuration, &manager, &apply)
            .await;
        let problem = |error| self.write_problem(WrittenObject::Webhook, &configuration, error);
        let written = written.map_err(problem)?;
        let now = self.settings.clock.now().monotonic;
        self.trust.record(&WebhookBundles::of(Some(&written)), now);
        let metrics = &self.metrics;
        metrics.certificate_event(CertificateEvent::BundleWritten);
        tracing::info!("wrote the caBundle of the webhooks");
        self.in_place = Some(bundle);
        if is_overwritten {
            metrics.certificate_event(CertificateEvent::BundleOverwritten);
            self.overwritten_at = Some(now);
            let problem = format!(
                "{} changed the caBundle of {configuration}, and drydock restored it; \
                 each client removes the other's authority, so stop one of them",
                bundles.other_writers()
            );
            self.log.set("overwritten", Some(problem));
        }
        Ok(true)
    }

    /// Signs a leaf if one is due, with an authority of the last Secret that was read. Makes no
    /// call to the API server.
    fn renew_leaf(&mut self) -> Result<(), AuthorityError> {
        let Some(last) = self.last.as_ref().or(self.unwritten.as_ref()) else {
            return Ok(());
        };
        // The leaf must be valid by this node's clock and by the API server's, which verifies it.
        let (clock, lifetimes) = (&self.settings.clock, self.settings.lifetimes);
        let api_server_time = clock.api_server_time();
        let now = clock.now().wall.max(api_server_time);
        let signer = signer(self.serving.as_ref(), last, &self.trust, now, lifetimes);
        let signer =
            signer.filter(|(authority, _)| authority.certificate().is_valid_at(api_server_time));
        let Some((authority, lifetime)) = signer else {
            return Ok(());
        };
        let leaf = authority.sign(&self.settings.server_names(), now, lifetime)?;
        let authority = authority.certificate().name();
        tracing::info!(authority, expires = %leaf.expires, "signed a server certificate");
        self.metrics.certificate_event(CertificateEvent::LeafSigned);
        self.issued.send_replace(Some(leaf.clone()));
        self.serving = Some(leaf);
        Ok(())
    }

    /// Stops serving a leaf that is not valid by the API server's clock, and serves it again when
    /// it becomes valid. Does nothing while the clocks agree.
    fn withdraw_invalid_leaf(&mut self) {
        let Some(leaf) = &self.serving else {
            return;
        };
        let now = self.settings.clock.api_server_time();
        let is_valid = leaf.authority.certificate().is_valid_at(now) && now < leaf.expires;
        if is_valid != self.is_serving() && self.settings.clock.disagreement().is_some() {
            self.issued.send_replace(is_valid.then(|| leaf.clone()));
        }
        let problem =
            "the certificate is not valid by the API server's clock, so drydock does not serve it";
        self.log
            .set("invalid", (!self.is_serving()).then(|| problem.to_owned()));
    }
}

/// Returns a function that converts the error of a call into a problem; `verb` is "read" or
/// "write".
fn failed(verb: &str, object: &str) -> impl FnOnce(kube::Error) -> Problem {
    move |error| match &error {
        kube::Error::Api(status) if status.code == 409 => Problem::Conflict(object.to_owned()),
        error => Problem::Failed(format!("cannot {verb} {object}: {}", describe(error))),
    }
}

/// Returns a warning if the Secret still contains the key of a self-managed authority although
/// certificates now come from files. Returns `None` if the Secret does not exist, contains no key,
/// or cannot be read.
///
/// While the `caBundle` trusts the authority, certificates that this key signs are valid for
/// drydock's names. drydock does not delete the Secret, because replicas without certificate files
/// need it during a rollout and a rollback.
pub async fn leftover_secret_warning(
    client: &Client,
    namespace: &str,
    name: &str,
    configuration: &str,
) -> Option<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(name).await;
    let secret = secret.inspect_err(|error| {
        tracing::debug!("cannot read secret {namespace}/{name}: {}", describe(error));
    });
    let (content, _) = CaSecret::read(&secret.ok()??.data.unwrap_or_default());
    if content.current.is_none() && content.next.is_none() {
        return None;
    }
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let configuration = configurations.get_opt(configuration).await.ok().flatten();
    let trusted = WebhookBundles::of(configuration.as_ref()).trusted_by_any();
    let first = match content.trusted().into_iter().any(|it| trusted.contains(it)) {
        true => {
            "the caBundle still trusts that authority; once every replica uses files, write only the CA of the files to the caBundle, then "
        }
        false => "the caBundle does not trust that authority; once every replica uses files, ",
    };
    Some(format!(
        "secret {namespace}/{name} still contains the key of the self-managed authority, but the certificate comes from files; \
         {first}run kubectl -n {namespace} delete secret {name}"
    ))
}

#[cfg(test)]
mod tests;
