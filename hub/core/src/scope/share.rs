//! The scopes of a share as texts: what is stored, sent, added and taken away. What they allow is in `expand`.

use std::collections::BTreeSet;

use super::expand::Share;
use super::text::{Filter, RawScope};

impl Share<'_> {
    /// The scopes as JupyterHub sends them: sorted, each with the filter on this server as it is called now.
    pub fn current(&self) -> Vec<String> {
        self.texts().into_iter().collect()
    }

    /// The scopes after some more were granted.
    pub fn extended(&self, more: &[RawScope]) -> Vec<String> {
        let mut texts = self.texts();
        texts.extend(more.iter().map(|scope| self.filtered(scope.name.as_str())));
        texts.into_iter().collect()
    }

    /// The scopes after some were revoked. One without filter means this server; one of something else nothing here.
    pub fn reduced(&self, less: &[RawScope]) -> Vec<String> {
        let mut texts = self.texts();
        for scope in less {
            match scope.filter {
                Filter::None => texts.remove(&self.filtered(scope.name.as_str())),
                _ => texts.remove(&scope.to_string()),
            };
        }
        texts.into_iter().collect()
    }

    /// What is stored may carry the names of before owner or server were renamed.
    fn texts(&self) -> BTreeSet<String> {
        self.scopes
            .iter()
            .map(|text| self.filtered(text.split_once('!').map_or(text.as_str(), |(name, _)| name)))
            .collect()
    }

    fn filtered(&self, name: &str) -> String {
        format!("{name}!server={}/{}", self.owner, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::*;

    fn parsed(texts: &[&str]) -> Vec<RawScope> {
        Catalogue::default().parse_all(texts).unwrap()
    }

    #[test]
    fn scopes_follow_a_renamed_server_and_are_told_once() {
        let scopes = ["read:servers!server=old/", "access:servers!server=old/", "access:servers!server=older/x"];
        let scopes = scopes.map(str::to_owned);
        let share = Share { owner: "new", server: "lab", scopes: &scopes };
        assert_eq!(share.current(), ["access:servers!server=new/lab", "read:servers!server=new/lab"]);
    }

    #[test]
    fn scopes_are_added_and_taken_away() {
        let scopes = ["access:servers!server=ann/".to_owned()];
        let share = Share { owner: "ann", server: "", scopes: &scopes };
        let both = ["access:servers!server=ann/", "read:servers!server=ann/"];
        assert_eq!(share.extended(&parsed(&["read:servers", "access:servers!server=ann/"])), both);
        assert_eq!(
            share.reduced(&parsed(&["read:servers", "access:servers!server=bob/", "access:servers!user=ann"])).len(),
            1
        );
        for less in ["access:servers", "access:servers!server=ann/"] {
            assert!(share.reduced(&parsed(&[less])).is_empty(), "{less}");
        }
    }
}
