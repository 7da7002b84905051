//! Random policies: a policy with all fields, of which some values are changed, removed or added.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// A valid policy with all fields.
const WHOLE: &str = "
priority: 1
mode: Audit
namespaceSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [b]}]}
podSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: Exists}]}
hostAliases:
- {ip: 10.0.0.1, hostnames: [a, b]}
- {ip: 'fd00::1', hostnames: [a]}
- {ip: 10.0.0.2, hostnames: [c]}
- {from: {ingress: {namespace: ns, name: i, hostnameSuffixes: [x.y]}}}
- {from: {ingress: {namespace: ns, name: j}}, hostnames: [f]}
- {from: {service: {namespace: ns, name: s, address: ClusterIP}}, hostnames: [d]}
- {from: {gateway: {namespace: ns, name: g}}, hostnames: [e]}
dind:
  images: [a, 'b:*']
  clientCerts: {onConflict: Relocate, sizeLimit: 1Mi, relocateTo: /r}
  volumes:
  - {name: a, mountPath: /a, readOnly: true, containers: All, emptyDir: {medium: Memory, sizeLimit: 1Gi}}
  - {name: b, mountPath: /b, hostPath: {path: /b, type: Directory}}
  - {name: c, mountPath: /c, persistentVolumeClaim: {claimName: c}}
  - {name: d, mountPath: /d, ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce], storageClassName: f, resources: {requests: {storage: 1Gi}, limits: {storage: 1Gi}}}}}}
  - {name: e, mountPath: /e, configMap: {name: e, defaultMode: 420, items: [{key: a, path: b, mode: 256}]}}
  - {name: f, mountPath: /f, secret: {secretName: f, items: [{key: a, path: b}]}}
  - {name: g, mountPath: /g, csi: {driver: d.e, volumeAttributes: {a: b}, nodePublishSecretRef: {name: s}}}
  - {name: h, mountPath: /h, nfs: {server: s, path: /p}}
  registryCAs:
  - {host: r.x, configMap: {name: a, key: k}}
  - {host: 'r.x:5000', configMap: {name: a, key: k}}
  scheduling:
    nodeSelector: {a: b}
    tolerations:
    - {key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}
    - {operator: Exists}
";

/// Values for any field: each is valid for some fields or for none.
const VALUES: &str = r#"[
'', ' ', a, b, c, A, a.b, a_b, a-, -a, .a, a., a..b, '..', '.', ..a, a/b, a/b/c, 'a b', "a\nb", "a\n", ä, '"', '\',
10.0.0.1, 10.0.0.2, 010.0.0.1, 10.0.0.256, 10.0.0, 127.0.0.1, 127.1, 0.0.0.0, '10.0.0.1:1', 10.0.0.0/8,
'::', '::1', '0:0:0:0:0:0:0:1', '::0001', '0::0', '::ffff:10.0.0.1', '::ffff:a00:1', '64:ff9b::10.0.0.1', '64:ff9b::a00:1',
'1::', '1::8', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '1::3:4:5:6:7:8', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8',
'1::2::3', '12345::', ':1::', '1:::2', 'g::', 'FD00::1', 'fd00:0::1', 'fe80::1%e', '[fd00::1]', '[fd00::1]:1', '[::1', '[10.0.0.1]:1',
'r:0', 'r:1', 'r:080', 'r:65535', 'r:65536', 'r:', 'https://r', 'R.x', '*', '*.a', 'a@b', 'a@sha256:00',
/, /a, /b, /a/, //a, /a//b, /., /.., /..., /a/., /a/.., /a/./b, /a/../b, /..a, /.a, /a/..b, '/a:b', /ä, a/../b, ../a, a/..,
/certs, /certs/, /certs/client, /certs/client/, /certs/client/a, /certs//client, /certs/clients, /certs/server, /var/lib/docker,
'0', '00', '0.0', '.0k', '0Mi', '+0', '-0', '-1', '1', '5.', '.5Gi', '+1Mi', 1.5Gi, 1Mi, 1MB, 1 Mi, 1K, 1ki, 100m, 1E, 1Ei, '1e3', '1E-3', '1e', '1e1.5', Mi, '1..5', '+-1',
Enforce, Audit, Replace, Relocate, Report, Deny, Dind, All, LoadBalancer, ClusterIP, In, NotIn, Exists, DoesNotExist, Equal, Lt,
NoSchedule, NoExecute, Memory, memory, HugePages, HugePages-2Mi, Directory, ReadWriteOnce, ReadWriteOncePod,
0, 1, -1, 5, 511, 512, 1.5, 2147483647, 2147483648, -2147483649, 9007199254740993, true, null,
[], [a], [a, a], [In], {}, {a: b}, {a: null}, {'a b': c}, {a/b: ''}, {storage: 1Gi}, {path: /a}, {ingress: {namespace: ns, name: i}},
{configMap: {name: a, key: k}, host: r.x}, {ip: 10.0.0.3, hostnames: [a]}, {ip: 10.0.0.1, hostnames: [a, x]}, {name: a, mountPath: /z, emptyDir: {}}
]"#;

/// Names of fields to add.
const FIELDS: &[&str] = &[
    "ip",
    "from",
    "hostnames",
    "values",
    "value",
    "key",
    "operator",
    "effect",
    "tolerationSeconds",
    "relocateTo",
    "sizeLimit",
    "emptyDir",
    "hostPath",
    "secret",
    "items",
    "address",
    "ingress",
    "hostnameSuffixes",
    "readOnly",
    "unknown",
    "a b",
    "storage",
];

/// A change of one value.
#[derive(Clone, Debug)]
enum Edit {
    Set(Value),
    Remove,
    Add(&'static str, Value),
}

/// Returns the specs of random policies, the same in each run. About half of them are valid.
pub(crate) fn specs(count: usize) -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec((any::<Index>(), edit()), 0..3);
    let mut one = || apply(&strategy.new_tree(&mut runner).unwrap().current());
    (0..count).map(|_| one()).collect()
}

fn edit() -> impl Strategy<Value = Edit> {
    let values: Vec<Value> = serde_saphyr::from_str(VALUES).unwrap();
    let longer = [
        "x".repeat(63),
        "x".repeat(64),
        "x".repeat(254),
        format!("/{}", "x".repeat(4096)),
    ]
    .map(Value::from);
    let value = select([values, longer.to_vec()].concat());
    prop_oneof![
        6 => value.clone().prop_map(Edit::Set),
        1 => Just(Edit::Remove),
        1 => (select(FIELDS), value).prop_map(|(field, value)| Edit::Add(field, value)),
    ]
}

fn apply(edits: &[(Index, Edit)]) -> Value {
    let mut spec: Value = serde_saphyr::from_str(WHOLE).unwrap();
    for (at, edit) in edits {
        let mut places = Vec::new();
        collect(&spec, "", &mut places);
        let place = at.get(&places);
        let (parent, last) = place.rsplit_once('/').unwrap();
        let here = spec.pointer_mut(place).unwrap();
        match edit {
            Edit::Set(value) => *here = value.clone(),
            Edit::Add(field, value) => match here {
                Value::Object(fields) => {
                    fields.insert((*field).to_owned(), value.clone());
                }
                Value::Array(items) => items.push(value.clone()),
                scalar => *scalar = value.clone(),
            },
            Edit::Remove => match spec.pointer_mut(parent).unwrap() {
                Value::Object(fields) => {
                    fields.remove(last);
                }
                Value::Array(items) => {
                    items.remove(last.parse().unwrap());
                }
                _ => {}
            },
        }
    }
    json!(spec)
}

/// Collects the JSON pointers of all descendants, except below names with a slash.
fn collect(value: &Value, path: &str, places: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        if !name.contains(['/', '~']) {
            let path = format!("{path}/{name}");
            places.push(path.clone());
            collect(value, &path, places);
        }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(&index.to_string(), value)),
        _ => {}
    }
}
