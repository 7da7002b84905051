//! One look at the cluster: read the Secret and the webhook configuration, write what has to be written, sign what has to be signed.

use super::in_use::Traces;
use super::pause::Look;
use super::plan::{self, Sight};
use super::problem::{Object, Problem, Told};
use super::secret::{Content, MOST_AUTHORITIES};
use super::serving::{Serving, signer};
use super::webhook::{InForce, Live};
use super::{Issued, Settings};
use crate::names::{CA_SECRET, NAME};
use crate::telemetry::metrics::{CertificateEvent, Metrics};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without another one, a change of the bundle by somebody else is over.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// What a replica knows from look to look.
pub(super) struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: watch::Sender<Option<Issued>>,
    /// The Secret as it was last seen or written: what it is made again from, and what signs while the API server is away.
    known: Option<Content>,
    in_force: InForce,
    serving: Option<Serving>,
    problem: Told,
    unreadable: Told,
    waiting: Told,
    crowded: Told,
    /// The bundle that was last seen or put in its place.
    in_place: Option<String>,
    overwritten: Told,
    overwritten_at: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(
        client: Client,
        settings: Settings,
        metrics: Arc<Metrics>,
        issued: watch::Sender<Option<Issued>>,
    ) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Api::all(client),
            settings,
            metrics,
            issued,
            known: None,
            in_force: InForce::default(),
            serving: None,
            problem: Told::default(),
            unreadable: Told::default(),
            waiting: Told::default(),
            crowded: Told::default(),
            in_place: None,
            overwritten: Told::default(),
            overwritten_at: None,
        }
    }

    /// Looks once. What fails is told, and leaves the rest as it was; the leaf is looked after in any case.
    pub(super) async fn look(&mut self) -> Look {
        let looked = tokio::time::timeout(PATIENCE, self.look_at_cluster()).await;
        let looked = looked.unwrap_or(Err(Problem::Slow(PATIENCE)));
        let signed = self.look_at_leaf();
        match looked.and_then(|wrote| signed.map(|()| wrote)) {
            Ok(wrote) => {
                self.problem.is_well();
                if wrote { Look::Wrote } else { Look::Good }
            }
            Err(problem @ Problem::Conflict(_)) => {
                tracing::debug!("{problem}; looking again");
                Look::Failed
            }
            Err(problem) => {
                self.problem.once(&problem.to_string());
                Look::Failed
            }
        }
    }

    /// Returns whether something was written.
    async fn look_at_cluster(&mut self) -> Result<bool, Problem> {
        // Before the Secret, which is therefore at least as new as the bundle that is there. A bundle is written only if the configuration is
        // still the one read here: so an old one never replaces a newer one.
        let live = self.configurations.get_opt(NAME).await;
        let live = live.map_err(Object::Configuration.failed("read"))?;
        let live = live.as_ref().map(Live::of).unwrap_or_default();
        let secret = self.secrets.get_opt(CA_SECRET).await;
        let of_secret = Object::Secret(&self.settings.namespace);
        let secret = secret.map_err(of_secret.failed("read"))?;
        self.in_force.note(&live, (self.settings.clock)().steady);
        let wrote_secret = self.look_at_secret(secret, &live).await?;
        let wrote_bundle = self.look_at_bundle(&live).await?;
        Ok(wrote_secret || wrote_bundle)
    }

    async fn look_at_secret(
        &mut self,
        secret: Option<Secret>,
        live: &Live,
    ) -> Result<bool, Problem> {
        let held = secret.as_ref().map(|secret| self.read(secret));
        let now = (self.settings.clock)().wall;
        let traces = Traces {
            held: held.as_ref(),
            known: self.known.as_ref(),
            own: self.serving.as_ref().map(Serving::ca),
            live,
        };
        let sight = Sight {
            now,
            in_use: &traces.in_use(now),
            own: self.serving.as_ref().map(Serving::ca),
            is_changed_by_others: traces.is_changed_by_others(),
            in_force: &self.in_force,
            lifetimes: self.settings.lifetimes,
        };
        // Where someone deleted it: the same again, and nothing changes for anybody.
        let found = held.or_else(|| self.known.clone()).unwrap_or_default();
        let (mut content, moves) = plan::settle(found, &sight)?;
        if !moves.is_empty() {
            let last = self.known.as_ref().and_then(|known| known.changed);
            content.change(last, now);
        }
        let has_to_write = secret.is_none() || !moves.is_empty();
        match secret {
            Some(secret) if has_to_write => self.replace(secret, &content).await?,
            None => self.create(&content).await?,
            Some(_) => {}
        }
        for step in &moves {
            self.metrics.certificates().happened(step.event());
            tracing::info!(change = step.event().name(), trusted = ?content.trusted(), "the authorities have changed");
        }
        if let Some(current) = &content.current {
            let expires = current.certificate().expires().as_second();
            self.metrics.certificates().set_ca_expiry(expires);
        }
        if content.trusted().len() >= MOST_AUTHORITIES {
            self.crowded.once(&format!(
                "{MOST_AUTHORITIES} authorities are trusted, which is the most that are kept; compare the clocks of the nodes"
            ));
        } else {
            self.crowded.is_well();
        }
        self.known = Some(content);
        Ok(has_to_write)
    }

    fn read(&mut self, secret: &Secret) -> Content {
        let data = secret.data.clone().unwrap_or_default();
        let (content, problems) = Content::read(&data);
        if problems.is_empty() {
            self.unreadable.is_well();
        } else {
            let (namespace, problems) = (&self.settings.namespace, problems.join("; "));
            self.unreadable.once(&format!(
                "secret {namespace}/{CA_SECRET} holds what cannot be read, which is passed over: {problems}"
            ));
        }
        content
    }

    /// Makes the Secret, unless someone else has made another one: a server-side apply that forces nothing, under a name that no other replica
    /// has, conflicts then. (Permission to POST could not be given for one name only.)
    async fn create(&self, content: &Content) -> Result<(), Problem> {
        let namespace = &self.settings.namespace;
        let mut data = super::secret::Data::new();
        content.write(&mut data);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(CA_SECRET.to_owned()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let manager = PatchParams::apply(&self.settings.replica);
        let made = self
            .secrets
            .patch(CA_SECRET, &manager, &Patch::Apply(&secret))
            .await;
        made.map_err(Object::Secret(namespace).failed("made"))?;
        Ok(())
    }

    /// Writes the Secret, unless someone else has written it since it was read: it still has the version of then.
    async fn replace(&self, mut secret: Secret, content: &Content) -> Result<(), Problem> {
        content.write(secret.data.get_or_insert_default());
        let params = PostParams {
            field_manager: Some(self.settings.replica.clone()),
            ..PostParams::default()
        };
        let written = self.secrets.replace(CA_SECRET, &params, &secret).await;
        let of_secret = Object::Secret(&self.settings.namespace);
        written.map_err(of_secret.failed("written"))?;
        Ok(())
    }

    async fn look_at_bundle(&mut self, live: &Live) -> Result<bool, Problem> {
        if live.is_empty() {
            self.waiting.once(&format!(
                "waiting for mutatingwebhookconfiguration {NAME} with drydock's webhooks; nothing calls drydock without it"
            ));
            return Ok(false);
        }
        self.waiting.is_well();
        let Some(bundle) = self.known.as_ref().map(Content::bundle) else {
            return Ok(false);
        };
        let now = (self.settings.clock)().steady;
        if !live.differs_from(&bundle) {
            self.in_place = Some(bundle);
            let is_over = |at: Instant| now.saturating_duration_since(at) >= QUIET;
            if self.overwritten_at.take_if(|at| is_over(*at)).is_some() {
                self.overwritten.is_well();
            }
            return Ok(false);
        }
        // The Secret says what it said when the bundle was in its place: no replica had a reason to change it.
        let is_overwritten = self.in_place.as_ref() == Some(&bundle);
        let patch = live.patch(&bundle);
        let manager = PatchParams::apply(NAME).force();
        let written = self
            .configurations
            .patch(NAME, &manager, &Patch::Apply(&patch))
            .await
            .map_err(Object::Configuration.failed("written"))?;
        self.in_force
            .note(&Live::of(&written), (self.settings.clock)().steady);
        self.metrics
            .certificates()
            .happened(CertificateEvent::BundleWritten);
        tracing::info!("the caBundle of the webhooks is written");
        self.in_place = Some(bundle);
        if is_overwritten {
            self.metrics
                .certificates()
                .happened(CertificateEvent::BundleOverwritten);
            self.overwritten_at = Some(now);
            self.overwritten.once(&format!(
                "the caBundle of mutatingwebhookconfiguration {NAME} was changed by {}, and is written again; \
                 two writers take the trust from each other's certificates, so stop one of them",
                live.rivals()
            ));
        }
        Ok(true)
    }

    /// Signs a leaf where one is due, by what is known: this needs no API server.
    fn look_at_leaf(&mut self) -> Result<(), Problem> {
        let Some(known) = &self.known else {
            return Ok(());
        };
        let Settings {
            clock, lifetimes, ..
        } = &self.settings;
        let now = clock().wall;
        let serving = self.serving.as_ref();
        let signer = signer(serving, known, &self.in_force, now, *lifetimes);
        let Some((authority, lifetime)) = signer else {
            return Ok(());
        };
        let names = self.settings.server_names();
        let serving = Serving {
            leaf: authority.sign(&names, now, lifetime)?,
            authority: authority.clone(),
        };
        let issued = serving.issued();
        tracing::info!(authority = issued.authority, expires = %issued.expires, "a server certificate is signed");
        self.metrics
            .certificates()
            .happened(CertificateEvent::LeafSigned);
        self.issued.send_replace(Some(issued));
        self.serving = Some(serving);
        Ok(())
    }
}
