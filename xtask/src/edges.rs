//! Which crate may know which: the table of ARCHITECTURE.md, and the check against it.
//!
//! Not here: reading the workspace (`metadata`), what a file may contain (`source_rules`).

use crate::metadata::{EdgeKind, Package};

/// What one crate may depend on.
enum Allowed {
    Only(&'static [&'static str]),
    Everything,
}

use Allowed::{Everything, Only};

/// Each crate with the workspace crates that it may use, lowest layer first.
const TABLE: &[(&str, Allowed)] = &[
    ("sealcare-proto", Only(&[])),
    ("sealcare-protocol", Only(&["sealcare-proto"])),
    ("sealcare-records", Only(&[])),
    ("sealcare-vault", Only(&[])),
    ("sealcare-terminal", Only(&[])),
    ("sealcare-transport", Only(&["sealcare-protocol", "sealcare-proto"])),
    ("sealcare-smart", Only(&["sealcare-records"])),
    (
        "sealcare-client",
        Only(&[
            "sealcare-records",
            "sealcare-vault",
            "sealcare-transport",
            "sealcare-smart",
            "sealcare-protocol",
        ]),
    ),
    (
        "sealcare-provider",
        Only(&["sealcare-records", "sealcare-vault", "sealcare-transport", "sealcare-protocol"]),
    ),
    ("sealcare-relay", Only(&["sealcare-protocol", "sealcare-proto"])),
    (
        "sealcare-gateway",
        Only(&[
            "sealcare-provider",
            "sealcare-records",
            "sealcare-vault",
            "sealcare-terminal",
            "sealcare-smart",
        ]),
    ),
    ("sealcare", Only(&["sealcare-client", "sealcare-records", "sealcare-terminal"])),
    ("sealcare-bindings", Only(&["sealcare-client"])),
    ("sealcare-demo", Everything),
    ("sealcare-tests", Everything),
    ("sealcare-benches", Everything),
    ("sealcare-fuzz", Everything),
    ("xtask", Everything),
];

/// Pairs that stay apart even in tests: the protocol carries bytes, and the relay can read nothing.
const APART: &[(&str, &str)] = &[
    ("sealcare-records", "sealcare-protocol"),
    ("sealcare-protocol", "sealcare-records"),
    ("sealcare-relay", "sealcare-records"),
];

/// Every edge that the table does not allow, as one line each.
pub(crate) fn violations(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(of_package).collect()
}

fn of_package(package: &Package) -> Vec<String> {
    let from = package.name.as_str();
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == from) else {
        return vec![format!("{from} is not in the edge table (xtask/src/edges.rs)")];
    };
    package
        .edges
        .iter()
        .filter_map(|edge| {
            let to = edge.to.as_str();
            if APART.contains(&(from, to)) {
                return Some(format!("{from} must never depend on {to}, not even in tests"));
            }
            let fits = edge.kind == EdgeKind::Tests
                || match allowed {
                    Everything => true,
                    Only(names) => names.contains(&to),
                };
            (!fits).then(|| format!("{from} may not depend on {to}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Edge;

    fn package(name: &str, edges: &[(&str, EdgeKind)]) -> Package {
        Package {
            name: name.into(),
            folder: "/w".into(),
            edges: edges.iter().map(|(to, kind)| Edge { to: (*to).into(), kind: *kind }).collect(),
        }
    }

    #[test]
    fn an_edge_of_the_table_passes_and_another_is_named() {
        let packages = [
            package("sealcare-protocol", &[("sealcare-proto", EdgeKind::Shipped)]),
            package("sealcare-vault", &[("sealcare-proto", EdgeKind::Shipped)]),
        ];
        assert_eq!(violations(&packages), ["sealcare-vault may not depend on sealcare-proto"]);
    }

    #[test]
    fn tests_may_reach_wider() {
        let edges = [("sealcare-relay", EdgeKind::Tests)];
        assert!(violations(&[package("sealcare-client", &edges)]).is_empty());
    }

    #[test]
    fn the_relay_never_sees_records_even_in_tests() {
        let edges = [("sealcare-records", EdgeKind::Tests)];
        assert_eq!(violations(&[package("sealcare-relay", &edges)]).len(), 1);
        assert_eq!(violations(&[package("sealcare-protocol", &edges)]).len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_refused() {
        assert_eq!(violations(&[package("sealcare-extra", &[])]).len(), 1);
    }

    #[test]
    fn the_table_is_layered_so_that_no_cycle_can_pass() {
        for (row, (name, allowed)) in TABLE.iter().enumerate() {
            let Only(uses) = allowed else { continue };
            for used in *uses {
                assert!(TABLE[..row].iter().any(|(above, _)| above == used), "{name} -> {used}");
            }
        }
    }
}
