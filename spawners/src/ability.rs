//! What only some drivers can do, told before anything is started, so that nothing that was chosen is passed over.

use crate::Plan;

/// What a driver can do beside starting a command with limits. A driver says yes to what it honours, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Starts servers from an image.
    pub images: bool,
    /// Gives servers as many GPUs as they are to have, and others none.
    pub gpus: bool,
    /// Mounts volumes.
    pub volumes: bool,
    /// Puts folders of the machine into servers.
    pub binds: bool,
    /// Shows servers buckets as folders.
    pub mounts: bool,
    /// Understands keys of its own beside those of a plan.
    pub extra: bool,
    /// Gives servers a certificate to listen with.
    pub tls: bool,
}

impl Abilities {
    /// A driver that hands everything on. A certificate is nothing that is chosen: who gives one says so.
    pub const ALL: Self =
        Self { images: true, gpus: true, volumes: true, binds: true, mounts: true, extra: true, tls: false };

    /// Names the first thing that a plan asks for and the driver cannot do, as in "servers with GPUs".
    pub fn lacks(&self, image: bool, gpus: bool, volumes: bool, extra: bool) -> Option<&'static str> {
        [
            (image && !self.images, "servers from an image"),
            (gpus && !self.gpus, "servers with GPUs"),
            (volumes && !self.volumes, "servers with volumes"),
            (extra && !self.extra, "servers with settings of a driver's own"),
        ]
        .into_iter()
        .find_map(|(lacks, what)| lacks.then_some(what))
    }

    /// As `lacks`, for a whole plan.
    pub fn lacks_for(&self, plan: &Plan) -> Option<&'static str> {
        let (gpus, volumes) = (plan.gpus.values().any(|number| *number > 0), !plan.volumes.is_empty());
        let binds = (!plan.binds.is_empty() && !self.binds).then_some("servers with folders of the machine");
        let mounts = (!plan.mounts.is_empty() && !self.mounts).then_some("servers with buckets as folders");
        let tls = (plan.certify.is_some() && !self.tls).then_some("servers that speak TLS");
        self.lacks(plan.image.is_some(), gpus, volumes, !plan.extra.is_empty()).or(binds).or(mounts).or(tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_cannot_do_is_named() {
        let images = Abilities { images: true, ..Abilities::default() };
        assert_eq!(images.lacks(true, false, false, false), None);
        assert_eq!(images.lacks(true, true, false, true), Some("servers with GPUs"));
        assert_eq!(Abilities::ALL.lacks(true, true, true, true), None);
        assert_eq!(Abilities::default().lacks(false, false, false, false), None);
    }
}
