//! Reconciles Secret, `caBundle` and leaf: reads both objects, writes the changes that are due, and
//! signs the leaf.

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

/// Time for the calls of one reconciliation.
const TIMEOUT: Duration = Duration::from_secs(10);
/// If no other client has changed the bundle for this time, the problem is resolved.
const RESOLVED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The result of a reconciliation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Unchanged,
    Wrote,
    /// It failed, or another client wrote first.
    Failed,
}

/// Why a reconciliation was not completed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0} was changed by another client at the same time")]
    Conflict(String),
    #[error("{0}; it is retried")]
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
    /// The content that was read, if the write that is due fails. Its authorities sign; the bundle
    /// is unchanged.
    unwritten: Option<CaSecret>,
    trust: TrustHistory,
    serving: Option<Leaf>,
    log: LogOnce,
    /// The last bundle that the webhooks had.
    in_place: Option<String>,
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

    /// Reconciles once. A failure is logged; a leaf that is due is signed in any case.
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

    /// Reconciles Secret and bundle; returns whether one was written.
    async fn reconcile_objects(&mut self) -> Result<bool, Problem> {
        // The configuration is read first, so that the Secret is at least as new as the bundle. The
        // write below applies only to this version of the configuration.
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

    /// Whether there is a certificate to serve.
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

    /// Reconciles the Secret; returns whether it was written. If only a step of a rotation cannot
    /// be written, returns the problem, and reconciliation continues.
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
        // A deleted Secret is restored as it was.
        let found = read.clone().or_else(|| self.last.clone());
        let (mut content, steps) = plan(found.unwrap_or_default(), &observed)?;
        if !steps.is_empty() {
            let last = self.last.as_ref().and_then(|last| last.changed);
            content.change(last, now);
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
            // Without the step, the authorities that were read stay in use.
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
        let problem = format!("{name} has fields that cannot be read and are ignored: {problems}");
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
            "{MAX_AUTHORITIES} authorities are trusted, the maximum; compare the clocks of the nodes"
        );
        let is_crowded = trusted.len() >= MAX_AUTHORITIES;
        self.log.set("crowded", is_crowded.then_some(problem));
    }

    /// Writes the Secret, unless its resourceVersion has changed since it was read.
    ///
    /// A missing Secret is created by server-side apply, because RBAC cannot permit POST by name.
    /// If another replica has created it, the apply conflicts: each replica is another field
    /// manager, and does not force.
    async fn write(&self, found: Option<Secret>, content: &CaSecret) -> Result<(), Problem> {
        self.may_write()?;
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
        let refused = |error| self.refused(WrittenObject::Secret, &self.secret_name(), error);
        written.map(drop).map_err(refused)
    }

    /// Fails if the node's clock is wrong: the replica could mistake valid authorities for expired.
    fn may_write(&self) -> Result<(), Problem> {
        let disagreement = self.settings.clock.disagreement();
        disagreement.map_or(Ok(()), |disagreement| {
            Err(Problem::Failed(format!(
                "{disagreement}, so this replica writes neither the Secret nor the caBundle"
            )))
        })
    }

    /// Returns the problem of a failed write, and counts it.
    fn refused(&self, object: WrittenObject, name: &str, error: kube::Error) -> Problem {
        let problem = failed("written", name)(error);
        if let Problem::Failed(_) = problem {
            self.metrics.write_refused(object);
        }
        problem
    }

    async fn reconcile_bundle(&mut self, bundles: &WebhookBundles) -> Result<bool, Problem> {
        let configuration = self.configuration_name();
        let problem = format!(
            "waiting for {configuration} with drydock's webhooks; without it the API server does not call drydock"
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
            let is_over = |at: &mut Instant| now.saturating_duration_since(*at) >= RESOLVED_AFTER;
            if self.overwritten_at.take_if(is_over).is_some() {
                self.log.set("overwritten", None);
            }
            return Ok(false);
        }
        // No replica replaces the bundle that the Secret still contains, so another client did.
        let is_overwritten = self.in_place.as_ref() == Some(&bundle);
        self.may_write()?;
        let apply = Patch::Apply(bundles.patch(&bundle));
        let manager = PatchParams::apply(FIELD_MANAGER).force();
        let written = self
            .configurations
            .patch(&self.settings.configuration, &manager, &apply)
            .await;
        let refused = |error| self.refused(WrittenObject::Webhook, &configuration, error);
        let written = written.map_err(refused)?;
        let now = self.settings.clock.now().monotonic;
        self.trust.record(&WebhookBundles::of(Some(&written)), now);
        let metrics = &self.metrics;
        metrics.certificate_event(CertificateEvent::BundleWritten);
        tracing::info!("caBundle of the webhooks written");
        self.in_place = Some(bundle);
        if is_overwritten {
            metrics.certificate_event(CertificateEvent::BundleOverwritten);
            self.overwritten_at = Some(now);
            let problem = format!(
                "the caBundle of {configuration} was changed by {}, and is written again; \
                 each writer removes the authority of the other, so stop one of them",
                bundles.other_writers()
            );
            self.log.set("overwritten", Some(problem));
        }
        Ok(true)
    }

    /// Signs a leaf if one is due, with the last content of the Secret. Needs no API server.
    fn renew_leaf(&mut self) -> Result<(), AuthorityError> {
        let Some(last) = self.last.as_ref().or(self.unwritten.as_ref()) else {
            return Ok(());
        };
        // The leaf must be valid by both clocks: the API server verifies it by its own.
        let (clock, lifetimes) = (&self.settings.clock, self.settings.lifetimes);
        let verified = clock.api_server_time();
        let now = clock.now().wall.max(verified);
        let signer = signer(self.serving.as_ref(), last, &self.trust, now, lifetimes);
        let signer = signer.filter(|(authority, _)| authority.certificate().is_valid_at(verified));
        let Some((authority, lifetime)) = signer else {
            return Ok(());
        };
        let leaf = authority.sign(&self.settings.server_names(), now, lifetime)?;
        let authority = authority.certificate().name();
        tracing::info!(authority, expires = %leaf.expires, "server certificate signed");
        self.metrics.certificate_event(CertificateEvent::LeafSigned);
        self.issued.send_replace(Some(leaf.clone()));
        self.serving = Some(leaf);
        Ok(())
    }

    /// Withdraws a leaf that is not valid by the API server's clock; issues it again if it becomes
    /// valid.
    fn withdraw_invalid_leaf(&mut self) {
        let Some(leaf) = &self.serving else {
            return;
        };
        let verified = self.settings.clock.api_server_time();
        let is_valid =
            leaf.authority.certificate().is_valid_at(verified) && verified < leaf.expires;
        if is_valid != self.is_serving() && self.settings.clock.disagreement().is_some() {
            self.issued.send_replace(is_valid.then(|| leaf.clone()));
        }
        let problem = "the certificate is not valid by the API server's clock, so it is not served";
        self.log
            .set("invalid", (!self.is_serving()).then(|| problem.to_owned()));
    }
}

/// Returns the problem that an object could not be read or written.
fn failed(verb: &str, object: &str) -> impl FnOnce(kube::Error) -> Problem {
    move |error| match &error {
        kube::Error::Api(status) if status.code == 409 => Problem::Conflict(object.to_owned()),
        error => Problem::Failed(format!("{object} cannot be {verb}: {}", describe(error))),
    }
}

/// Returns a sentence about the Secret of an earlier self-managed authority, if certificates now
/// come from files; `None` if there is no Secret, it has no key, or drydock may not read it.
///
/// The key can sign for drydock's names while the `caBundle` trusts the authority. drydock does not
/// delete the Secret: replicas without certificate files need it during a rollout and a rollback.
pub async fn leftover(
    client: &Client,
    namespace: &str,
    name: &str,
    configuration: &str,
) -> Option<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(name).await;
    let secret = secret.inspect_err(|error| {
        tracing::debug!(
            "secret {namespace}/{name} cannot be read: {}",
            describe(error)
        );
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
            "the caBundle still trusts it: put the authority of the files there alone once every replica uses files, then "
        }
        false => "the caBundle does not trust it any more: once every replica uses files, ",
    };
    Some(format!(
        "secret {namespace}/{name} still contains the key of the self-managed authority, but the certificate comes from files; \
         {first}run kubectl -n {namespace} delete secret {name}"
    ))
}

#[cfg(test)]
mod tests;
