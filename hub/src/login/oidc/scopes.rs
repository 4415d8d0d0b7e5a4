//! Which scopes are asked for: all that are of use first, fewer after the provider has refused some.

use super::preset::Preset;
use crate::config::ProviderConfig;

/// Asks for a refresh token.
const OFFLINE: &str = "offline_access";

/// The scopes of a provider, before any login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    needed: Vec<String>,
    optional: Vec<String>,
}

impl Scopes {
    /// Those of the configuration, or of the preset. `keeps_tokens`: whether a refresh token would be kept.
    pub fn new(config: &ProviderConfig, keeps_tokens: bool) -> Self {
        let defaults = config.preset.defaults();
        let of = |own: &Option<Vec<String>>, preset: &[&str]| match own {
            Some(own) => own.clone(),
            None => preset.iter().map(|&scope| scope.to_owned()).collect(),
        };
        let mut needed = of(&config.scope, defaults.scope);
        // Without it there is no ID token, and userinfo refuses.
        if config.preset != Preset::Github && !needed.iter().any(|scope| scope == "openid") {
            needed.insert(0, "openid".to_owned());
        }
        let mut optional = of(&config.optional_scope, defaults.optional_scope);
        optional.retain(|scope| !needed.contains(scope) && (keeps_tokens || scope != OFFLINE));
        Self { needed, optional }
    }

    /// The scopes of one choice, counted from 0: every choice gives up as few as possible. `None` after the last.
    /// `supported` is what the provider says it knows; nothing, if it does not say.
    pub fn choice(&self, choice: usize, supported: &[String]) -> Option<Vec<String>> {
        let known = |scope: &&String| supported.is_empty() || supported.contains(scope);
        let optional: Vec<&String> = self.optional.iter().filter(known).collect();
        let mut choices: Vec<u32> = (0..1_u32 << optional.len()).collect();
        // More before fewer; among as many, those that stand first in the list.
        choices.sort_by_key(|left_out| (left_out.count_ones(), std::cmp::Reverse(*left_out)));
        let left_out = *choices.get(choice)?;
        let kept = optional.iter().enumerate().filter(|(index, _)| left_out & (1 << index) == 0);
        Some(self.needed.iter().cloned().chain(kept.map(|(_, scope)| (*scope).clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(config: &ProviderConfig, keeps_tokens: bool, supported: &[&str]) -> Vec<String> {
        let scopes = Scopes::new(config, keeps_tokens);
        let supported: Vec<String> = supported.iter().map(|&scope| scope.to_owned()).collect();
        (0..20).map_while(|choice| scopes.choice(choice, &supported)).map(|scopes| scopes.join(" ")).collect()
    }

    #[test]
    fn quirk_2_a_scope_that_is_not_registered_is_given_up_and_the_others_are_not() {
        let iam = ProviderConfig::of("iam", Preset::IndigoIam, "id");
        let all = [
            "openid profile email offline_access wlcg.groups",
            "openid profile email offline_access",
            "openid profile email wlcg.groups",
            "openid profile email",
        ];
        assert_eq!(choices(&iam, true, &[]), all);
        assert_eq!(choices(&iam, false, &[]), ["openid profile email wlcg.groups", "openid profile email"]);
        assert_eq!(choices(&iam, true, &["openid", "offline_access"]).len(), 2);
        assert_eq!(choices(&iam, true, &["openid"]), ["openid profile email"]);
    }

    #[test]
    fn quirk_7_userinfo_needs_openid_so_it_is_always_asked_for() {
        let iam = ProviderConfig {
            scope: Some(vec!["profile".into()]),
            ..ProviderConfig::of("iam", Preset::IndigoIam, "id")
        };
        assert!(choices(&iam, false, &["x"])[0].starts_with("openid profile"));
        let github = ProviderConfig::of("github", Preset::Github, "id");
        assert_eq!(choices(&github, true, &[]), ["read:user read:org"]);
    }
}
