//! The two environment variables that rules read. A container of a job pod has about a hundred
//! variables; the others are skipped.

use super::Text;
use super::bounds;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

const DOCKER_HOST: &str = "DOCKER_HOST";
const DOCKER_TLS_CERTDIR: &str = "DOCKER_TLS_CERTDIR";

/// The environment variables that rules read. If a name occurs several times, the last value is
/// used, as in the container.
#[derive(Clone, Debug, Default)]
pub struct Env<'a> {
    /// The directory in which dind creates its certificates.
    pub docker_tls_certdir: Option<EnvValue<'a>>,
    /// The address of the daemon that the docker client calls.
    pub docker_host: Option<EnvValue<'a>>,
}

/// The value of an environment variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EnvValue<'a> {
    /// The text of `value`; empty if `value` is absent, because the API server omits empty strings.
    Literal(Text<'a>),
    /// `valueFrom`, which only the kubelet resolves.
    ValueFrom,
}

impl Env<'_> {
    /// The names of the variables.
    pub(crate) const NAMES: [&'static str; 2] = [DOCKER_HOST, DOCKER_TLS_CERTDIR];
}

impl<'de: 'a, 'a> Deserialize<'de> for Env<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
        struct Variable<'a> {
            name: Option<Text<'a>>,
            value: Option<Text<'a>>,
            value_from: Option<IgnoredAny>,
        }

        struct EnvVisitor;
        impl<'de> Visitor<'de> for EnvVisitor {
            type Value = Env<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of environment variables")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                list: D,
            ) -> Result<Self::Value, D::Error> {
                list.deserialize_seq(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut env = Env::default();
                let mut count = 0;
                while let Some(variable) = list.next_element::<Variable<'de>>()? {
                    count += 1;
                    bounds::check_variables(count)?;
                    let slot = match super::text(&variable.name) {
                        DOCKER_TLS_CERTDIR => &mut env.docker_tls_certdir,
                        DOCKER_HOST => &mut env.docker_host,
                        _ => continue,
                    };
                    bounds::check_path(super::text(&variable.value))?;
                    let literal = variable
                        .value
                        .filter(|value| !value.is_empty() || variable.value_from.is_none());
                    *slot = Some(match (literal, variable.value_from) {
                        (None, Some(_)) => EnvValue::ValueFrom,
                        (literal, _) => EnvValue::Literal(literal.unwrap_or_default()),
                    });
                }
                Ok(env)
            }
        }
        deserializer.deserialize_newtype_struct("Env", EnvVisitor)
    }
}
