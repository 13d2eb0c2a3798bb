//! What drills came to, as a file for Prometheus.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ebbtide_fleet::Member;
use ebbtide_restore::DrillRecord;
use ebbtide_web::{DrilledReplica, FleetDrills, ProvedReplica};

use crate::exit::{Code, Failure};
use crate::new_file::NewFile;

/// There is nothing secret in it, and who collects metrics is another user.
const MODE: u32 = 0o644;

/// The file, which is replaced as a whole once everything is known.
pub(super) struct MetricsFile(NewFile);

impl MetricsFile {
    /// Begins it, so that a directory that is not there is said before the drills.
    pub(super) fn begin(path: &Path) -> Result<MetricsFile, Failure> {
        NewFile::create(path, true).map(MetricsFile)
    }

    /// Writes it.
    pub(super) fn publish(self, drills: FleetDrills) -> Result<(), Failure> {
        let MetricsFile(file) = self;
        let text = drills.metrics().map_err(|error| Failure::new(Code::Failed, error))?;
        let written = file.file().write_all(text.as_bytes());
        let written =
            written.and_then(|()| file.file().set_permissions(Permissions::from_mode(MODE)));
        written
            .map_err(|error| Failure::new(Code::Failed, format!("write the metrics: {error}")))?;
        file.publish()
    }
}

/// What is known of a replica after the last drill of it.
pub(super) fn drilled(member: &Member, record: Option<DrillRecord>) -> DrilledReplica {
    let summary = member.summary.as_ref().ok();
    let DrillRecord { proved, failed } = record.unwrap_or_default();
    DrilledReplica {
        address: member.address.clone(),
        created: summary.map(|summary| summary.created),
        proved: proved.map(|proved| ProvedReplica {
            at: proved.at,
            seconds: proved.seconds,
            bytes_fetched: proved.bytes_fetched,
        }),
        is_failed: failed.is_some() || summary.is_none(),
    }
}
