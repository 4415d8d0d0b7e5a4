//! Which profile, and its own questions.

use serde_json::Value;

use super::{Making, UNLISTED, not_offered, nothing, nothing_to_ask, profile_field};
use crate::policy::profile::{Profile, ProfileOption, Unlisted};
use crate::policy::refusal::{Code, Refusal, shown};
use crate::policy::setting::{Setting, filled};

impl<'s> Making<'s> {
    pub(super) fn choose_profile(&mut self) -> Result<(), Refusal> {
        if self.rules.profiles.is_empty() {
            let asked = self.asked(&["profile"]).and_then(|asked| nothing_to_ask("profile", asked));
            return self.or_default(asked);
        }
        let offered: Vec<&Profile> =
            self.rules.profiles.iter().filter(|profile| self.standing.offers_profile(profile)).collect();
        let asked = self.asked(&["profile"]).and_then(|asked| match asked {
            Some(slug) => offered
                .iter()
                .find(|profile| profile.slug == slug)
                .map(|profile| Some(*profile))
                .ok_or_else(|| not_offered("profile", slug)),
            None => Ok(None),
        });
        let chosen = self.or_default(asked)?;
        let first = offered.iter().find(|profile| profile.default).or(offered.first()).copied();
        let profile = chosen.or(first).ok_or_else(|| nothing("profile", "profile"))?;
        self.profile = Some(profile);
        self.plan.lay(&profile.setting);
        self.plan.profile = Some(profile.slug.clone());
        self.plan.profile_name = Some(profile.display_name.clone());
        if profile.setting.image.is_some() {
            self.plan.image_name = Some(profile.display_name.clone());
        }
        self.options.insert("profile".to_owned(), profile.slug.clone().into());
        profile.options.iter().try_for_each(|option| self.choose_of_profile(profile, option))
    }

    fn choose_of_profile(&mut self, profile: &'s Profile, option: &'s ProfileOption) -> Result<(), Refusal> {
        let answered = self.answer(profile, option);
        if let Some((setting, name, key, value)) = self.or_default(answered)? {
            self.answered(setting, name, key, value);
            return Ok(());
        }
        let offered = || option.choices.iter().filter(|choice| self.standing.offers_choice(choice));
        let Some(choice) = offered().find(|choice| choice.default).or(offered().next()) else {
            let field = profile_field(&profile.slug, &option.name);
            let sentence = format!("Write something for “{}”.", option.display_name);
            return Err(Refusal::new(Code::BadValue, field, sentence));
        };
        self.answered(choice.setting.clone(), choice.display_name.clone(), option.name.clone(), choice.name.clone());
        Ok(())
    }

    fn answered(&mut self, setting: Setting, name: String, key: String, value: String) {
        self.plan.lay(&setting);
        if setting.image.is_some() {
            self.plan.image_name = Some(name);
        }
        self.options.insert(key, value.into());
    }

    /// What was answered to a question of a profile: what it sets, what people call it, and how it is kept.
    #[allow(clippy::type_complexity)]
    fn answer(
        &self,
        profile: &Profile,
        option: &ProfileOption,
    ) -> Result<Option<(Setting, String, String, String)>, Refusal> {
        let field = profile_field(&profile.slug, &option.name);
        let first = |names: [&str; 2]| -> Result<Option<&'s str>, Refusal> {
            match self.request.one(names[0])? {
                Some(value) => Ok(Some(value)),
                None => self.request.one(names[1]),
            }
        };
        let chosen = first([&field, &option.name])?;
        if let Some(name) = chosen.filter(|name| *name != UNLISTED) {
            let mut offered = option.choices.iter().filter(|choice| self.standing.offers_choice(choice));
            let choice = offered.find(|choice| choice.name == name).ok_or_else(|| not_offered(&field, name))?;
            let (setting, told) = (choice.setting.clone(), choice.display_name.clone());
            return Ok(Some((setting, told, option.name.clone(), choice.name.clone())));
        }
        let key = format!("{}--{UNLISTED}", option.name);
        let typed = first([&format!("{field}--{UNLISTED}"), &key])?;
        match (typed, &option.unlisted, chosen) {
            (Some(typed), Some(unlisted), _) if self.standing.offers_unlisted(unlisted) => {
                let setting = self.typed(unlisted, &field, typed)?;
                Ok(Some((setting, typed.to_owned(), key, typed.to_owned())))
            }
            (Some(typed), _, _) => Err(not_offered(&field, typed)),
            (None, _, Some(_)) => {
                let sentence = format!("Write something for “{}”.", option.display_name);
                Err(Refusal::new(Code::BadValue, field, sentence))
            }
            (None, _, None) => Ok(None),
        }
    }

    fn typed(&self, unlisted: &Unlisted, field: &str, typed: &str) -> Result<Setting, Refusal> {
        if unlisted.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(typed)) {
            let plain = format!("“{}” does not have the form that is asked for.", shown(typed));
            return Err(Refusal::new(Code::BadValue, field, unlisted.message.clone().unwrap_or(plain)));
        }
        let written = filled(&Value::Object(unlisted.written.clone()), typed);
        let mut setting = written
            .as_object()
            .map(Setting::read)
            .unwrap_or_else(|| Ok(Setting::default()))
            .map_err(|(_, what)| Refusal::new(Code::BadValue, field, format!("“{}” {what}.", shown(typed))))?;
        if unlisted.names_image()
            && let Some(Some(image)) = &setting.image
        {
            let image = self.parsed(field, image)?;
            setting.image = Some(Some(image.to_string()));
        }
        if self.standing.fits_typed(&setting) { Ok(setting) } else { Err(not_offered(field, typed)) }
    }
}
