//! Setups of docker client and dind from documentation, public configurations and incidents. Most
//! of them work.

use serde_json::Value;
use std::sync::LazyLock;

/// Each setup has variables of the job, the command of dind, volumes, and mounts in `all`
/// containers, in `build`, or in `dind`, which is the first service.
const SETUPS: &str = "
# GitLab's documentation, in memory and on disk.
- {certdir: /certs, path: /certs/client, volumes: [{name: setup, emptyDir: {medium: Memory}}], all: [{name: setup, mountPath: /certs/client}]}
- {path: /certs/client, volumes: [{name: setup, emptyDir: {}}], all: [{name: setup, mountPath: /certs/client}]}
# At the parent directory, and read-only for the client.
- {certdir: /certs, path: /certs/client, volumes: [{name: setup, emptyDir: {}}], all: [{name: setup, mountPath: /certs}]}
- path: /certs/client
  volumes: [{name: setup, emptyDir: {}}]
  dind: [{name: setup, mountPath: /certs}]
  build: [{name: setup, mountPath: /certs, readOnly: true}]
# On the volume for the files of the job.
- {certdir: /builds/certs, path: /builds/certs/client, volumes: [{name: setup, emptyDir: {}}], all: [{name: setup, mountPath: /builds}]}
# At the default directory of the client.
- {volumes: [{name: setup, emptyDir: {}}], dind: [{name: setup, mountPath: /certs/client}], build: [{name: setup, mountPath: /root/.docker}]}
# With a subPath, and on a PersistentVolumeClaim.
- {path: /certs/client, volumes: [{name: setup, emptyDir: {}}], all: [{name: setup, mountPath: /certs/client, subPath: client}]}
- path: /certs/client
  volumes: [{name: setup, emptyDir: {}}]
  dind: [{name: setup, mountPath: /certs}]
  build: [{name: setup, mountPath: /certs/client, subPath: client}]
- {path: /certs/client, volumes: [{name: setup, persistentVolumeClaim: {claimName: certs}}], all: [{name: setup, mountPath: /certs/client}]}
# Certificates that the user supplies, with and without the entrypoint.
- path: /certs/client
  volumes: [{name: setup, secret: {secretName: server}}, {name: setup-client, secret: {secretName: client}}]
  dind: [{name: setup, mountPath: /certs/server}]
  build: [{name: setup-client, mountPath: /certs/client}]
- path: /certs/client
  words: {args: [dockerd, '--host=tcp://0.0.0.0:2376', --tlsverify, --tlscacert=/tls/ca.crt, --tlscert=/tls/tls.crt, --tlskey=/tls/tls.key]}
  volumes: [{name: setup, secret: {secretName: server}}, {name: setup-client, secret: {secretName: client}}]
  dind: [{name: setup, mountPath: /tls}]
  build: [{name: setup-client, mountPath: /certs/client, readOnly: true}]
# A remote daemon.
- {host: 'tcp://farm.mylab.com:2376', path: /certs/client, volumes: [{name: setup, secret: {secretName: farm}}], all: [{name: setup, mountPath: /certs/client}]}
- {host: 'tcp://farm:2376', path: /certs/client, volumes: [{name: setup, secret: {secretName: farm}}], build: [{name: setup, mountPath: /certs/client}]}
# Without TLS.
- {certdir: '', host: 'tcp://docker:2375', plain: true, volumes: [{name: setup, secret: {secretName: ca}}], all: [{name: setup, mountPath: /certs/client}]}
- {certdir: '', host: 'tcp://localhost:2375', plain: true, words: {args: [--tls=false]}}
# Over the Unix socket.
- {host: 'unix:///var/run/docker.sock', plain: true, volumes: [{name: setup, emptyDir: {}}], all: [{name: setup, mountPath: /var/run}]}
# The incidents.
- {certdir: /certs, path: /certs/client, volumes: [{name: setup, secret: {secretName: ca}}], all: [{name: setup, mountPath: /certs/client, readOnly: true}]}
- {certdir: /certs, path: /certs/client, volumes: [{name: setup, secret: {secretName: ca}}], all: [{name: setup, mountPath: /certs}]}
- {path: /certs/client, volumes: [{name: setup, emptyDir: {}}], dind: [{name: setup, mountPath: /certs/server}]}
- path: /certs/client
  volumes: [{name: setup, emptyDir: {}}, {name: setup-ca, secret: {secretName: ca}}]
  all: [{name: setup, mountPath: /certs/client}]
  build: [{name: setup-ca, mountPath: /certs}]
# A mount at /etc/hosts hides the hostAliases.
- {path: /certs/client, volumes: [{name: setup, hostPath: {path: /etc/hosts}}], all: [{name: setup, mountPath: /etc/hosts}]}
";

/// All setups.
pub static ALL: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_saphyr::from_str(SETUPS).expect("SETUPS is not valid YAML"));
